# %% [markdown]
# # 9. Planck's law: the temperature of a star
#
# A hot body glows, and how its light is spread over the wavelengths λ depends on its temperature T alone:
#
# $$u(\lambda, T) = \frac{c_1}{\lambda^5 \left(e^{c_2 / (\lambda T)} - 1\right)}$$
#
# Given readings of u at known wavelengths, which T made them? The law is not linear in T, so no formula of linear
# regression applies as it stands; gradient descent with automatic differentiation does not mind. But it minds very much
# **in which form** it is asked. This lesson sees it fail, work, work well, and in the end become unnecessary.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import linnet

C1, C2 = 3.7414e8, 1.43879e4  # λ in µm, T in K; u in W per m² and µm

# %% [markdown]
# ## ⚠ How it fails
#
# The tutorial that this experiment comes from draws the temperatures from N(0, 1), so they are fractions of a kelvin,
# half of them negative. It then looks for the wavelength, from a start near 0. Here are its first readings and its
# first gradient, for a true wavelength of half a micrometre.

# %%
torch.manual_seed(0)
T = torch.randn(1_000)


def planck(wavelength, T):
    return C1 / (wavelength**5 * (torch.exp(C2 / (wavelength * T)) - 1))


TRUE_WAVELENGTH = 0.5
u = planck(torch.tensor(TRUE_WAVELENGTH), T)


def first_look(some, dtype=torch.float32):
    """The cost of each of some rows at the start, and the gradient of their mean."""
    start = torch.tensor(0.01, dtype=dtype, requires_grad=True)
    costs = (planck(start, T[some].to(dtype)) - u[some].to(dtype)) ** 2 / 2
    costs.mean().backward()
    return costs.detach(), start.grad.item()


costs, gradient = first_look(slice(None))
print(f"loss {costs.mean().item()}, gradient {gradient}")
assert costs.mean().isinf()
assert np.isnan(gradient)

# %% [markdown]
# **Symptoms:** the first loss is infinite and the first gradient `nan`; so is every weight and every loss after that.
#
# They have two causes, one in each half of the readings.
#
# **Where T is negative** the exponent is below −7,000, so the exponential is 0 and the law shrinks to −c₁/λ⁵, whatever
# T is. Each prediction is that far off that half its square is 7·10³⁶. float32 reaches to 3.4·10³⁸ and holds one of
# them, but not the sum of 506: that is the infinite loss. In float64 it is a number, if an absurd one.
#
# **Where T is positive** the exponent is above 7,000, but float32 ends at e⁸⁸·⁷, and float64 at e⁷⁰⁹·⁸. The exponential
# becomes infinite and the energy 0, which still looks like a number: these rows add nothing to the loss. But the
# derivative of that 0 is infinity times 0, which is `nan`. More digits do not help: it is `nan` in float64 too.

# %%
cold, below = T > 0, T < 0
print(f"{below.sum()} costs of {costs[below].max().item():.1e} each, {cold.sum()} of {costs[cold].max().item()}")
assert costs[below].isfinite().all()
assert costs[below].sum().isinf()
assert not costs[cold].any()

in_float64, gradient = first_look(slice(None), torch.float64)
print(f"in float64: loss {in_float64.mean().item():.2e}, gradient {gradient}", end="; ")
print(
    f"of negative T alone {first_look(below, torch.float64)[1]:.1e}, of positive T {first_look(cold, torch.float64)[1]}"
)
assert in_float64.mean().isfinite()
assert np.isnan(gradient)
assert np.isfinite(first_look(below, torch.float64)[1])
assert np.isnan(first_look(cold, torch.float64)[1])

# %% [markdown]
# And what are such readings worth? Those of positive T are 0, every one: they hold nothing. Those of negative T belong
# to no body. They are one and the same number, −c₁/λ⁵, and do not depend on T, so that they tell λ at once, by
# arithmetic that has nothing to do with heat:

# %%
print(f"readings equal to 0: {(u == 0).sum()}, negative: {(u < 0).sum()}, all others: {(u > 0).sum()}")
print(f"(c₁ / −u) ^ 0.2 of the negative ones: {((C1 / -u[below]) ** 0.2).unique().tolist()}")
assert not u[cold].any()
assert torch.allclose((C1 / -u[below]) ** 0.2, torch.tensor(TRUE_WAVELENGTH))
exponents = C2 / (TRUE_WAVELENGTH * T)
assert exponents[cold].min() > 7_000
assert exponents[below].max() < -7_000

# %% [markdown]
# No optimiser mends this. The remedies come before it:
#
# 1. Ask a question that has an answer: wavelengths are known, they are what a spectrometer is set to. T is unknown.
# 2. Stay where the law was made for: thousands of kelvin, around a micrometre.
# 3. Choose units in which numbers are near 1: T in 1,000 K, energies relative to the largest.
# 4. Look at the first gradient before running a thousand.

# %% [markdown]
# ## The readings
#
# The sun's surface is near 5,800 K. We take 200 wavelengths from ultraviolet to infrared, each reading wrong by about
# 1 %.

# %%
TRUE = 5_800.0
random = np.random.default_rng(0)
grid = np.linspace(0.2, 3.0, 200)
u = C1 / (grid**5 * np.expm1(C2 / (grid * TRUE))) * (1 + 0.01 * random.standard_normal(200))

wavelengths = torch.tensor(grid)
readings = torch.tensor(u / u.max())

# %% [markdown]
# `expm1` is e^x − 1 without the loss of digits where x is small; torch and NumPy both have it.
#
# ## From scratch, with T in thousands of kelvin
#
# One parameter, all rows in each step, and autograd for the derivative of a formula that nobody wants to differentiate
# by hand.


# %%
def descend(loss, start, lr, steps):
    """Gradient descent on one number: where it was after each step, the start first."""
    parameter = torch.tensor(float(start), dtype=torch.float64, requires_grad=True)
    path = [parameter.item()]
    for _ in range(steps):
        loss(parameter).backward()
        with torch.no_grad():
            parameter -= lr * parameter.grad
        parameter.grad = None
        path.append(parameter.item())
    return np.array(path)


def spectrum(kilokelvin):
    """The law in units of the largest reading."""
    return C1 / u.max() / (wavelengths**5 * torch.expm1(C2 / 1_000 / (wavelengths * kilokelvin)))


def direct(kilokelvin):
    return ((readings - spectrum(kilokelvin)) ** 2 / 2).mean()


path = 1_000 * descend(direct, start=3.0, lr=5.0, steps=60)
print("T after 0, 10, 20, 40, 60 steps:", *(f"{path[i]:,.0f}" for i in (0, 10, 20, 40, 60)), "K")
assert abs(path[-1] / TRUE - 1) < 0.01

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
left.plot(grid, readings, ".", color="0.6", markersize=4, label="readings")
for step in (0, 10, 16, 60):
    curve = spectrum(torch.tensor(path[step] / 1_000))
    left.plot(grid, curve, linewidth=1.2, label=f"step {step}: {path[step]:,.0f} K")
left.set(xlabel="wavelength (µm)", ylabel="energy density, largest reading = 1", title="The spectrum")
left.legend(frameon=False)
for kelvin, style in ((np.linspace(1_500, 8_500, 300), {"color": "0.6"}), (path, {"marker": "o", "markersize": 3})):
    right.semilogy(kelvin, [direct(torch.tensor(t / 1_000)).item() for t in kelvin], **style)
right.set(xlabel="T (K)", ylabel="loss", title="The loss, and the path from 3,000 K")
plt.show()

# %% [markdown]
# It works: within 1 % of 5,800 K. But look at the loss on the right: a plain on the left, where a cold body's spectrum
# is nearly zero and so is the gradient, and a wall on the right. No learning rate suits both.

# %%
for start in (1.0, 3.0, 8.0, 12.0):
    end = 1_000 * descend(direct, start, lr=5.0, steps=60)[-1]
    print(f"from {1_000 * start:6,.0f} K: {end:10,.0f} K" + ("" if abs(end / TRUE - 1) < 0.01 else "   lost"))

# %% [markdown]
# ## A better form: logarithms and 1/T
#
# Two changes, and each has a reason. A reading that is wrong by 1 % is wrong by 0.01 in its logarithm, wherever on the
# curve it lies: so we compare logarithms. And the temperature enters as 1/T: so we learn τ = 1,000 K / T. Then
#
# $$\log u = \log c_1 - 5 \log\lambda - \log\left(e^{c_2 \tau / (1000 \lambda)} - 1\right)$$
#
# whose last term is almost a straight line in τ, so that the loss is almost a parabola. Its curvature is about the mean
# of (c₂/1000λ)², known before the first step, and the learning rate is one over that.


# %%
def logarithmic(tau):
    law = np.log(C1) - 5 * wavelengths.log() - torch.expm1(C2 / 1_000 * tau / wavelengths).log()
    return ((torch.tensor(np.log(u)) - law) ** 2 / 2).mean()


lr = 1 / np.mean((C2 / 1_000 / grid) ** 2)
ends = {}
for start in (500, 1_000, 3_000, 12_000, 50_000):
    ends[start] = 1_000 / descend(logarithmic, 1_000 / start, lr, steps=30)
    print(f"from {start:6,} K: {ends[start][3]:8,.1f} K after 3 steps, {ends[start][-1]:8,.1f} K after 30")
    assert abs(ends[start][-1] / TRUE - 1) < 0.01
by_logarithms = ends[3_000][-1]

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
tau = np.linspace(0.02, 2.0, 300)
left.plot(tau, [logarithmic(torch.tensor(t)).item() for t in tau])
left.axvline(1_000 / TRUE, color="0.6", linestyle=":", label="5,800 K")
left.set(xlabel="τ = 1,000 K / T", ylabel="loss on logarithms", title="Almost a parabola")
left.legend(frameon=False)
for start, temperatures in ends.items():
    right.semilogy(np.abs(temperatures / temperatures[-1] - 1)[:11], "o-", markersize=3, label=f"from {start:,} K")
right.set(xlabel="step", ylabel="|T / last T − 1|", title="From any start", ylim=(1e-10, None))
right.legend(frameon=False)
plt.show()

# %% [markdown]
# From 500 K or from 50,000 K, the same answer. It is the same gradient descent; what changed is the coordinate in which
# it walks.
#
# ## With Linnet: a straight line after all
#
# Turn Planck's law around:
#
# $$\log\left(1 + \frac{c_1}{\lambda^5 u}\right) = \frac{c_2}{T} \cdot \frac{1}{\lambda}$$
#
# The left side can be computed from the readings. The right side is linear in 1/λ, through zero, and its weight is
# c₂/T. So this *is* linear regression: without intercept, solved exactly, with a standard error.

# %%
x = (1 / grid)[:, None]
y = np.log1p(C1 / (grid**5 * u))
fit = linnet.fit(x, y, intercept=False, errors="hc3")
slope, error = fit.weights[0], fit.std_errors[0]
temperature = C2 / slope
temperature_error = C2 / slope**2 * error
print(f"T = {temperature:,.1f} K, standard error {temperature_error:.1f} K")
assert abs(temperature / TRUE - 1) < 0.01
assert abs(temperature - TRUE) < 4 * temperature_error

# %% [markdown]
# The error of T follows from that of the slope s: T = c₂/s, so a small change of s moves T by c₂/s² times as much. The
# kind of standard error is `hc3` because the noise of y is not the same everywhere: the transformation shrinks it at
# long wavelengths.
#
# Gradient descent finds the same line; here the compiled one, which needs no learning rate from us.

# %%
learned = linnet.fit(x, y, intercept=False, solver="sgd")
print(f"T = {C2 / learned.weights[0]:,.1f} K by SGD, {learned.settings['epochs']} epochs. {learned.status.text}")
assert learned.status is linnet.Status.CONVERGED
assert abs(C2 / learned.weights[0] / TRUE - 1) < 0.01

# %%
figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
axes.plot(x[:, 0], y, ".", color="0.6", markersize=4, label="readings")
ends = np.array([[0.0], [5.0]])
axes.plot(ends[:, 0], fit.predict(ends), label=f"slope c₂/T, T = {temperature:,.0f} ± {temperature_error:.0f} K")
axes.set(xlabel="1/λ (1/µm)", ylabel="log(1 + c₁ / (λ⁵ u))", title="Planck's law as a straight line")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Published beside reproduced

# %%
print(f"{'':40}{'temperature':>14}")
rows = [
    ("published", "NaN"),
    ("T in 1,000 K, gradient descent", f"{path[-1]:,.1f} K"),
    ("1,000 K / T and logarithms", f"{by_logarithms:,.1f} K"),
    ("straight line, Linnet's SGD", f"{C2 / learned.weights[0]:,.1f} K"),
    ("straight line, exact", f"{temperature:,.1f} K"),
    ("truth", f"{TRUE:,.1f} K"),
]
for label, value in rows:
    print(f"{label:40}{value:>14}")

# %% [markdown]
# ## What to remember
#
# - `nan` in the first gradient means that the formula left the range of its numbers. Look at the exponents, not at the
#   optimiser.
# - Units first: parameters and targets near 1.
# - Gradient descent depends on the coordinate. Seek one in which the loss is nearly a parabola.
# - If the coordinate is so good that the model is linear, solve it, and get the standard error as a gift.
