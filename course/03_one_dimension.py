# %% [markdown]
# # 3. One dimension, and why squares
#
# With one feature there is one slope and one intercept, and everything fits into a picture: the points, the line, and
# the loss as a landscape over the two numbers. We walk down that landscape with all rows at each step, so that no
# chance is involved, and can predict every step of the way.
#
# Then a question that the first lessons passed over: why the *square* of the residual? The answer is the bell curve.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import linnet
from linnet import figures, scratch

# %% [markdown]
# ## The data
#
# A hundred points evenly in [−1, 1], y = 3x + 10, and noise drawn evenly from (0, 1).

# %%
random = np.random.default_rng(3)
x = np.linspace(-1, 1, 100)
y = 3 * x + 10 + random.uniform(0, 1, 100)

# %% [markdown]
# ⚠ Which intercept will come out? Not 10. The noise is never negative; its mean is 0.5, and a mean goes into the
# intercept, since nothing in the data can tell "10 plus noise around a half" from "10.5 plus noise around zero".
# **Symptom:** an intercept that is off by the same amount for every random seed. **Remedy:** look for 10.5.

# %% [markdown]
# ## Learning it with a layer
#
# `nn.Linear(1, 1)`, mean squared error, 1,000 steps with learning rate 0.01, all points in each step: this is gradient
# descent without "stochastic". If there is a CUDA device, the work goes there.

# %%
device = scratch.device()
torch.manual_seed(0)
net = nn.Linear(1, 1).to(device)
start = np.array([net.bias.item(), net.weight.item()])
inputs = torch.tensor(x, dtype=torch.float32, device=device)[:, None]
targets = torch.tensor(y, dtype=torch.float32, device=device)[:, None]
optimiser = torch.optim.SGD(net.parameters(), lr=0.01)

path = [start]
for epoch in range(1_000):
    loss = nn.functional.mse_loss(net(inputs), targets)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    path.append(np.array([net.bias.item(), net.weight.item()]))
    if epoch % 20 == 0 and (epoch <= 100 or epoch % 200 == 0):  # the tutorial prints every twentieth; these will do
        print(f"epoch {epoch:4}: loss {loss.item():.5f}")
path = np.array(path)

# %% [markdown]
# `eval` switches off what a network does only while it learns. A single layer does nothing of that kind, but the habit
# is good.

# %%
net.eval()
with torch.no_grad():
    line = net(inputs).cpu().numpy()[:, 0]

figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
axes.plot(x, y, ".", color="0.6", label="points")
axes.plot(x, line, label=f"y = {path[-1, 1]:.3f}·x + {path[-1, 0]:.3f}")
axes.set(xlabel="x", ylabel="y", title="Points and fitted line")
axes.legend(frameon=False)
plt.show()

print(f"{'':10}{'published':>12}{'recoverable':>14}{'here':>10}")
print(f"{'slope':10}{'a figure':>12}{3:14}{path[-1, 1]:10.4f}")
print(f"{'intercept':10}{'a figure':>12}{10.5:14}{path[-1, 0]:10.4f}")
assert abs(path[-1, 1] - 3) < 0.15  # three standard errors
assert abs(path[-1, 0] - 10.5) < 0.09

# %% [markdown]
# The slope is not exactly 3, and more steps would not bring it nearer. A hundred points with this noise leave a
# standard error of 0.05, as the exact answer says of itself:

# %%
exact = linnet.fit(x[:, None], y)
print(exact)
plt.figure(exact.plot(x[:, None], y))
plt.show()

# %% [markdown]
# ## Every step foretold
#
# The loss is a bowl, and how steep a bowl is in each direction decides how fast one descends in it. For the intercept
# the curvature of r² is 2; for the slope it is twice the mean of x², 0.68. The x are symmetric around 0, so the two do
# not mix. A step leaves the share 1 − lr·curvature of each error.

# %%
errors = np.abs(path - exact.coefficients)
steps = np.arange(1_001)
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
for j, (name, curvature) in enumerate((("intercept", 2.0), ("slope", 2 * np.mean(x**2)))):
    predicted = errors[0, j] * (1 - 0.01 * curvature) ** steps
    axes.semilogy(errors[:, j], label=name, linewidth=3, alpha=0.5)
    axes.semilogy(predicted, "--", label=f"{name}: foretold", color="0.2", linewidth=1)
    assert np.allclose(errors[:500, j], predicted[:500], rtol=0.05, atol=1e-4)
axes.set(xlabel="step", ylabel="distance from the exact answer", title="Two directions, two speeds", ylim=(1e-7, 20))
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# The intercept leaves its line where single precision ends. Near 10.5 the next float32 is a millionth away, and a
# correction of 0.02 · 0.00002 is less than half of that: it is rounded away, and so is every later one.
#
# ## The landscape
#
# The same descent from scratch and by Linnet, and the path over the loss. The learning rate is 0.02, because their loss
# is r²/2 (lesson 2).

# %%
solver = linnet.SGD(
    lr=0.02, batch_size=100, epochs=1_000, shuffle=False, start=tuple(start.tolist()), tol=None, every=1
)
walk = list(solver.steps(linnet.Objective(linnet.Squared()), linnet.open_source(x[:, None], y)))
as_they_come = {"order": lambda _: np.arange(100), "start": (start[1:], start[0])}
by_hand = list(scratch.train(x[:, None], y, lr=0.02, batch_size=100, epochs=1_000, **as_they_come))
for ours, theirs in zip(by_hand, path[1:], strict=True):
    assert np.allclose([ours.bias, *ours.weights], theirs, rtol=1e-3, atol=1e-5)  # theirs are float32
assert np.allclose([s.weights for s in walk[:1_000]], [s.weights for s in by_hand], rtol=1e-11)
assert np.allclose([s.bias for s in walk[:1_000]], [s.bias for s in by_hand], rtol=1e-11)

plt.figure(figures.path(walk[:1_000], x[:, None], y, optimum=exact.coefficients))
plt.show()

# %% [markdown]
# First up, towards the right intercept, for that is where the bowl is steep; then along its flat floor to the slope.

# %% [markdown]
# ## The bell curve
#
# Now to the square. The normal density with mean μ and standard deviation σ is
#
# $$p(x) = \frac{1}{\sqrt{2\pi}\,\sigma} \exp\left(-\frac{(x - \mu)^2}{2\sigma^2}\right)$$
#
# The mean shifts it, the standard deviation spreads it, and what it gains in width it loses in height.


# %%
def normal(x, mu, sigma):
    return np.exp(-((x - mu) ** 2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)


grid = np.arange(-7, 7, 0.01)
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for mu, sigma in ((0, 1), (0, 2), (3, 1)):
    axes.plot(grid, normal(grid, mu, sigma), label=f"mean {mu}, standard deviation {sigma}")
axes.set(xlabel="x", ylabel="p(x)", title="Three normal densities")
axes.legend(frameon=False, loc="upper left")
plt.show()

assert np.isclose(normal(grid, 0, 2).sum() * 0.01, 1, atol=1e-3)  # what is cut off at ±7 is 0.0005
assert np.isclose(normal(0, 0, 1) / normal(0, 0, 2), 2)

# %% [markdown]
# ## Why squares
#
# Suppose each y is 3x + 10 plus noise from such a curve around 0. How probable were the data, if the slope were w and
# the intercept b? The noise of a row would have been its residual r, so multiply p(r) over all rows. A product of a
# hundred small numbers is inconvenient; its negative logarithm is a sum:
#
# $$-\log P(w, b) = n \log(\sqrt{2\pi}\,\sigma) + \frac{1}{\sigma^2} \sum_i \tfrac12 r_i^2$$
#
# The first term does not know w and b. The second is our loss. To make the data most probable *is* to make the squares
# least, whatever σ may be.

# %%
bell = 3 * x + 10 + random.normal(0, 0.3, 100)
slopes = np.linspace(2, 4, 2_001)
b = linnet.fit(x[:, None], bell).bias
residuals = bell - b - slopes[:, None] * x
half_squares = (residuals**2 / 2).sum(axis=1)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
left.plot(slopes, half_squares)
left.set(xlabel="slope", ylabel="sum of r²/2", title="The loss")
best = []
for sigma in (0.2, 0.3, 0.6):
    surprise = -np.log(normal(residuals, 0, sigma)).sum(axis=1)
    best.append(slopes[surprise.argmin()])
    assert np.allclose(surprise, 100 * math.log(math.sqrt(2 * math.pi) * sigma) + half_squares / sigma**2)
    right.plot(slopes, surprise, label=f"σ = {sigma}")
    right.plot(best[-1], surprise.min(), "o", color="0.2")
right.set(xlabel="slope", ylabel="−log likelihood", title="How surprising the data are")
right.legend(frameon=False)
plt.show()

fitted = linnet.fit(x[:, None], bell)
print(f"least squares: slope {fitted.weights[0]:.3f}; most likely for any σ: {np.array(best)}")
assert np.allclose(best, fitted.weights[0], atol=0.001)

# %% [markdown]
# And σ itself? The most likely one is the root of the mean square of the residuals. It is a little too small, since
# the line was laid through these very points; dividing by n − 2 instead of n mends that. This is what a Fit calls
# `residual_sd`.

# %%
r = bell - fitted.predict(x[:, None])
likely = math.sqrt(np.mean(r**2))
print(f"true σ 0.3, most likely {likely:.4f}, residual sd {fitted.residual_sd:.4f}")
assert math.isclose(fitted.residual_sd, math.sqrt((r**2).sum() / 98), rel_tol=1e-9)
assert abs(fitted.residual_sd - 0.3) < 0.08

# %% [markdown]
# The noise of this lesson's first half was not a bell curve but a box, and least squares still found 10.5 and 3. It is
# unbiased for any noise of mean zero; it is *the most likely* answer only for the bell. Other noise has another best
# loss: long tails want the absolute residual (lesson 4) or Huber's (lesson 11).
#
# ## What to remember
#
# - The mean of the noise ends up in the intercept.
# - In each direction of the bowl the error shrinks by 1 − lr·curvature a step. The flattest direction is the slowest.
# - Least squares is maximum likelihood for normal noise, and σ does not matter for where the minimum is.
