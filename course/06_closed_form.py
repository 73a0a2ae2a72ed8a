# %% [markdown]
# # 6. The closed form: learned, exact, and how sure
#
# For squared loss there is no need to walk: the bottom of the bowl can be computed. This lesson does so in one line,
# puts the answer beside what gradient descent found, and asks which differences matter. The standard error decides:
# it says how far the *exact* answer itself would move if the data were drawn again.
#
# In the end the one line fails, on data that look harmless.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import linnet
from linnet import figures, scratch

W, B, NOISE = [2.0, -3.4], 4.2, 0.01
data = linnet.simulate(W, B, rows=1_000, noise=NOISE, seed=6)
truth = np.array([B, *W])

# %% [markdown]
# ## One line
#
# Put a column of ones before the features, so that the bias is a weight like the others. At the bottom the gradient,
# −Xᵀ(y − Xw) up to a factor, is zero; so XᵀXw = Xᵀy, and
#
# $$w^* = (X^\top X)^{-1} X^\top y$$
#
# `solve` is better than the inverse: less work, fewer digits lost.

# %%
X = torch.column_stack([torch.ones(1_000, dtype=torch.float64), torch.tensor(data.X)])
y = torch.tensor(data.y)
closed = torch.linalg.solve(X.T @ X, X.T @ y).numpy()
print("closed form", closed)

# %% [markdown]
# Is it the bottom? Autograd says that the gradient there is zero, and any step away from it makes the loss larger.

# %%
w = torch.tensor(closed, requires_grad=True)
loss = scratch.squared(X @ w, y).mean()
loss.backward()
print("gradient there", w.grad.numpy())
assert w.grad.abs().max() < 1e-12
random = np.random.default_rng(0)
for _ in range(100):
    aside = torch.tensor(closed + random.normal(0, 1e-4, 3))
    assert scratch.squared(X @ aside, y).mean() > loss

# %% [markdown]
# ## Beside it, what SGD found
#
# Three epochs as in lesson 1, from scratch and by Linnet, and Linnet's exact answer, which is the
# default: `linnet.fit` without a solver does not learn, it solves.

# %%
steps = list(scratch.train(data.X, data.y, lr=0.03, batch_size=10, epochs=3))
scratched = np.r_[steps[-1].bias, steps[-1].weights]
learned = linnet.fit(data.X, data.y, solver=linnet.SGD(lr=0.03, batch_size=10, epochs=3, init="normal", tol=None))
exact = linnet.fit(data.X, data.y)
errors = np.r_[exact.bias_std_error, exact.std_errors]

print(f"{'':14}{'bias':>12}{'w1':>12}{'w2':>12}")
for name, values in (
    ("truth", truth),
    ("published SGD", [4.2003, 1.9994, -3.4001]),
    ("SGD, scratch", scratched),
    ("SGD, Linnet", learned.coefficients),
    ("closed form", closed),
    ("exact, Linnet", exact.coefficients),
    ("std error", errors),
):
    print(f"{name:14}" + "".join(f"{value:12.6f}" for value in values))

assert np.allclose(learned.coefficients, scratched, rtol=1e-11)
assert np.allclose(exact.coefficients, closed, rtol=1e-11)
assert (np.abs(closed - truth) < 4 * errors).all()
assert (np.abs(scratched - truth) < 6 * errors).all()

# %% [markdown]
# Three columns of digits agree to the third or fourth place and then differ. Who is right in the fifth?
#
# ## The standard error
#
# The exact answer is exact for *these* thousand rows. Other rows with other noise would have given another. How far it
# scatters follows from the residuals: their variance s², with n − 3 degrees of freedom, times the diagonal of
# (XᵀX)⁻¹.

# %%
r = y - X @ torch.tensor(closed)
s = torch.sqrt(r @ r / (1_000 - 3)).item()
by_formula = s * torch.linalg.inv(X.T @ X).diagonal().sqrt().numpy()
print("standard errors by the formula", by_formula)
print("standard errors by Linnet     ", errors)
assert np.allclose(by_formula, errors, rtol=1e-9)

# %% [markdown]
# It can be checked: draw the noise 400 times, solve each time, and look at the scatter.

# %%
again = data.X @ np.array(W) + B + random.normal(0, NOISE, (400, 1_000))  # (400, 1000): each row a new y
answers = torch.linalg.solve(X.T @ X, X.T @ torch.tensor(again.T)).numpy()  # (3, 400)
scatter = answers.std(axis=1)
print("scatter of 400 exact answers  ", scatter)
assert np.allclose(scatter, errors, rtol=0.15)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
for j, (panel, name) in enumerate(zip(axes, ("bias", "w1", "w2"), strict=True)):
    panel.hist((answers[j] - truth[j]) * 1e3, bins=24, color="0.8")
    for side in (-1, 1):
        panel.axvline(
            1e3 * side * errors[j], color="C0", linestyle="--", label="one standard error" if side > 0 else None
        )
    panel.plot((closed[j] - truth[j]) * 1e3, 2, "*", color="C1", markersize=12, label="exact, these rows")
    panel.plot((scratched[j] - truth[j]) * 1e3, 2, "o", color="C2", label="SGD, these rows")
    panel.set(xlabel=f"error of {name} (thousandths)")
axes[0].set(ylabel="of 400 draws of the noise")
figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
axes[1].set_title("How the exact answer scatters")
plt.show()

# %% [markdown]
# The stars are somewhere in the clouds of answers that would all have been exact for other draws of the noise. Of SGD's
# dots, that for the bias is beyond the cloud, that for w2 at its edge, and that for w1 by luck nearer to the truth than
# the star. The star is what these rows say; what lies between star and dot is no fault of the data.

# %%
off = (scratched - truth) / errors
print("SGD's errors in standard errors", off.round(1))
assert abs(off[0]) > 3
assert abs(off[1]) < 0.2 < abs((closed - truth)[1] / errors[1])
assert 1.5 < abs(off[2]) < 3

# %% [markdown]
# ## Learned against exact
#
# So the distance from the exact answer should be measured in standard errors. A Fit that was learned knows both.

# %%
print(learned)
assert np.allclose(learned.distance, (learned.coefficients - exact.coefficients) / errors, rtol=1e-6)
plt.figure(figures.learned_against_exact(learned))
plt.show()

# %% [markdown]
# Two things can be foretold. What is left of the start: 100 steps an epoch, each of which multiplies the error by
# 1 − lr·H, where H are the second moments of [1, X]. And the unrest of a constant step. If each batch were drawn afresh
# from all rows, that would be √(lr·n / 2·batch) standard errors, here 1.22. But shuffled rows come once each in an
# epoch, so that by its end the errors of the batches have cancelled in part, and √(k/2 − tanh(k/2)) is left, with
# k = lr·n/batch (lesson 13). Over a hundred starts and orders of the same rows:

# %%
H = (X.T @ X / 1_000).numpy()
k = 0.03 * 1_000 / 10
unrest = np.sqrt(k / 2 - np.tanh(k / 2))
print(f"unrest {unrest:.2f} standard errors; {np.sqrt(k / 2):.2f} if each batch were drawn afresh")
for epochs in (3, 10):
    left = np.linalg.matrix_power(np.eye(3) - 0.03 * H, 100 * epochs) @ -closed / errors
    foretold = np.sqrt(np.mean(left**2) + unrest**2)
    solvers = [
        linnet.SGD(lr=0.03, batch_size=10, epochs=epochs, init="normal", seed=seed, tol=None) for seed in range(100)
    ]
    away = np.array([linnet.fit(data.X, data.y, solver=solver).distance for solver in solvers])
    found = np.sqrt(np.mean(away**2))
    print(f"{epochs:2} epochs: left of the start {left.round(2)}, in all {foretold:.2f} foretold, {found:.2f} found")
    assert 0.85 < found / foretold < 1.15

# %% [markdown]
# After three epochs more is left of the start than the unrest amounts to; ten epochs forget it. The unrest remains:
# three quarters of a standard error, nearly as much as the data themselves are in doubt. That is good enough to
# predict. It is not good enough to quote the standard error beside, which knows nothing of it. With `tol="auto"`, the
# default, Linnet goes on until the distance is below 0.05.

# %%
patient = linnet.fit(data.X, data.y, solver="sgd")
print(patient.status.text, f"({patient.settings['epochs']} epochs)")
assert patient.status is linnet.Status.CONVERGED
assert np.abs(patient.distance).max() <= 0.05
plt.figure(figures.learned_against_exact(patient))
plt.show()

# %% [markdown]
# ## ⚠ When the one line fails
#
# Take the same rows, but let the features be serial numbers or times in seconds: move them three million from zero. The
# slopes are the same as before. So is the noise.

# %%
far = data.X + 3e6
F = np.column_stack([np.ones(1_000), far])
one_line = np.linalg.solve(F.T @ F, F.T @ data.y)
moved = linnet.fit(far, data.y)
print("one line", one_line[1:], "\nLinnet  ", moved.weights, "\nbefore  ", exact.weights)
assert np.abs(one_line[1:] - exact.weights).max() > 5 * errors[1:].max()
assert np.allclose(moved.weights, exact.weights, atol=1e-8)

# %% [markdown]
# **Symptom:** wrong slopes without any warning; another order of the rows gives other slopes. **Cause:** XᵀX holds sums
# of squares near 10¹⁶, of which float64 keeps sixteen digits; what distinguishes the rows, a variance of 1, is in the
# last ones. **Remedy:** subtract the means before multiplying. Linnet's Moments do, and where that is not enough they
# sum without any rounding.

# %%
centred = far - far.mean(axis=0)
slopes = np.linalg.solve(centred.T @ centred, centred.T @ (data.y - data.y.mean()))
print("one line after centring", slopes)
assert np.allclose(slopes, exact.weights, atol=1e-7)

# %% [markdown]
# ## What to remember
#
# - Squared loss has a closed form. Use it, and keep gradient descent for losses and sizes that have none.
# - A standard error says how far the exact answer would scatter. Below a twentieth of it, an error of the optimiser is
#   of no account; near one, it doubles the variance of what you report.
# - Three epochs were not enough to forget the start; and a constant step never comes nearer than its unrest.
# - Never form XᵀX of columns that lie far from zero.
