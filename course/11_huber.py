# %% [markdown]
# # 11. Huber's loss: when some rows are wrong
#
# Squared loss lets a row pull on the line with a force equal to its residual. One absurd row, a slipped decimal point,
# then pulls harder than a hundred good ones. Huber's loss is squared for small residuals and linear beyond δ: no row
# ever pulls harder than δ.
#
# The lesson replaces one by the other, from scratch, with torch's parts and with Linnet; it shows how the published
# version goes wrong in a way that no error message tells; and it asks how δ should be chosen.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import linnet
from linnet import concise, scratch

# %% [markdown]
# ## The loss
#
# For a residual r = y − ŷ: r²/2 where |r| ≤ δ, and δ·(|r| − δ/2) beyond. The two pieces meet at δ with the same height
# and the same slope. `torch.nn.HuberLoss` is the same function; `torch.nn.SmoothL1Loss` is it divided by δ, so that the
# two agree for δ = 1 only.

# %%
r = torch.linspace(-4, 4, 401, dtype=torch.float64, requires_grad=True)
zero = torch.zeros_like(r)
cost = scratch.huber(zero, r)
(pull,) = torch.autograd.grad(cost.sum(), r)

assert torch.allclose(cost, torch.nn.HuberLoss(reduction="none")(zero, r), atol=1e-12)
assert torch.allclose(cost, torch.nn.SmoothL1Loss(reduction="none")(zero, r), atol=1e-12)
assert np.allclose(cost.detach(), linnet.Huber().value(r.detach().numpy()), atol=1e-12)
assert np.allclose(pull, linnet.Huber().slope(r.detach().numpy()), atol=1e-12)

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
residuals = r.detach().numpy()
for loss in (linnet.Squared(), linnet.Absolute(), linnet.Huber(delta=1.0)):
    left.plot(residuals, loss.value(residuals), label=loss.name)
    right.plot(residuals, loss.slope(residuals), label=loss.name)
left.set(xlabel="residual r", ylabel="loss", title="What a residual costs", ylim=(0, 5))
right.set(xlabel="residual r", ylabel="slope", title="How hard a row pulls", ylim=(-3, 3))
left.legend(frameon=False)
right.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Clean data: no difference
#
# The 1,000 rows of the first lesson, learning rate 0.03, batches of 10, three epochs, with Huber's loss in place of the
# squared one. From scratch, with torch's own loss, and compiled: the same start, the same order of rows, and so the
# same weights.

# %%
clean = linnet.simulate([2, -3.4], bias=4.2, rows=1_000, noise=0.01, seed=1)
setting = {"lr": 0.03, "batch_size": 10, "epochs": 3, "seed": 0}


def final(steps):
    """[bias, weights] at the end of a run."""
    last = list(steps)[-1]
    return np.r_[last.bias, last.weights]


by_hand = final(scratch.train(clean.X, clean.y, loss=scratch.huber, **setting))
by_torch = final(concise.train(clean.X, clean.y, loss=torch.nn.HuberLoss(reduction="none"), **setting))
compiled = linnet.fit(clean.X, clean.y, loss="huber", solver=linnet.SGD(**setting, init="normal", tol=None))
for label, u in (("scratch", by_hand), ("concise", by_torch), ("Linnet", compiled.coefficients)):
    print(f"{label:10} b = {u[0]:.6f}, w = {u[1:]}")
assert np.allclose(by_torch, by_hand, rtol=1e-10)
assert np.allclose(compiled.coefficients, by_hand, rtol=1e-10)
assert np.allclose(by_hand, [4.2, 2, -3.4], atol=0.1)

# %% [markdown]
# No figure was published. The truth is b = 4.2, w = (2, −3.4), and three epochs end visibly short of it, where squared
# loss would have been there. At the start most residuals are larger than δ = 1, and their pull is capped too: the same
# cap that will protect us from wrong rows makes the first epoch slower. Once all residuals are below δ, the loss is the
# squared one. Three more epochs settle it.

# %%
longer = final(scratch.train(clean.X, clean.y, loss=scratch.huber, **{**setting, "epochs": 6}))
with_squared = final(scratch.train(clean.X, clean.y, loss=scratch.squared, **setting))
truth = np.array([4.2, 2, -3.4])
for label, u in (("Huber, 3 epochs", by_hand), ("Huber, 6 epochs", longer), ("squared, 3 epochs", with_squared)):
    print(f"{label:18} largest error {np.abs(u - truth).max():.4f}")
assert np.allclose(longer, truth, atol=0.005)
assert np.allclose(with_squared, truth, atol=0.005)

# %% [markdown]
# ## One row in twenty is wrong
#
# Now 50 rows get 20 added to their target, as if a device had jumped. The 950 others are as good as before.

# %%
wrong = np.arange(0, 1_000, 20)
y = clean.y.copy()
y[wrong] += 20


def error(u):
    return np.abs(np.asarray(u) - truth).max()


squared = linnet.fit(clean.X, y)
huber = linnet.fit(clean.X, y, loss=linnet.Huber(delta=1.0))
absolute = linnet.fit(clean.X, y, loss="absolute")
for fit in (squared, huber, absolute):
    print(f"{fit.loss:10} b = {fit.bias:.4f}, w = {fit.weights.round(4)}, largest error {error(fit.coefficients):.4f}")
assert error(squared.coefficients) > 0.8
assert error(huber.coefficients) < 0.1
assert error(absolute.coefficients) < 0.002

# %% [markdown]
# Squared loss moves the bias by 20 · 1/20 = 1: it estimates means, and the mean moved. Huber's loss with δ = 1 lets
# each wrong row pull with force 1 instead of 20, and the bias moves by about 1/19.
#
# Absolute loss estimates medians, and does not move.
#
# Those were the exact optima. A Fit that was learned by SGD has them beside what it learned, and the distance between
# them in standard errors of *this* loss:

# %%
learned = linnet.fit(clean.X, y, loss=linnet.Huber(delta=1.0), solver="sgd")
print(learned)
assert np.allclose(learned.exact, huber.coefficients, atol=1e-9)
assert np.abs(learned.distance).max() < 0.5

# %% [markdown]
# ## ⚠ One decision for the whole batch
#
# The published version computes one number for the batch, compares *that* with δ, and then uses the same branch for
# every row. It looks plausible, and runs.


# %%
def huber_by_batch(prediction, y, delta=1.0):
    r = scratch.residual(prediction, y)
    if r.abs().mean() <= delta:  # one answer for all rows: wrong
        return r**2 / 2
    return delta * (r.abs() - delta / 2)


def huber_by_row(prediction, y, delta=1.0):
    r = scratch.residual(prediction, y)
    return torch.where(r.abs() <= delta, r**2 / 2, delta * (r.abs() - delta / 2))


# %% [markdown]
# To see what it does, take the true weights, go once through batches of ten, and ask how hard each row pulls there.


# %%
def pulls(loss, X, y, batch_size=10):
    """The slope of each row's loss by its residual at the true weights."""
    prediction = torch.tensor(X @ truth[1:] + truth[0], requires_grad=True)
    target = torch.tensor(y)
    total = sum(loss(p, t).sum() for p, t in zip(prediction.split(batch_size), target.split(batch_size), strict=True))
    (gradient,) = torch.autograd.grad(total, prediction)
    return -gradient.numpy()


residuals = y - clean.X @ truth[1:] - truth[0]
good = np.setdiff1d(np.arange(1_000), wrong)
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True, layout="constrained")
for panel, loss in zip(axes, (huber_by_row, huber_by_batch), strict=True):
    panel.plot(residuals[good], pulls(loss, clean.X, y)[good], ".", markersize=4)
    panel.set(xlabel="residual of a good row", title=f"{loss.__name__}")
axes[0].set(ylabel="how hard it pulls")
plt.show()

by_row, by_batch = pulls(huber_by_row, clean.X, y)[good], pulls(huber_by_batch, clean.X, y)[good]
print(f"largest pull of a good row: {np.abs(by_row).max():.3f} by row, {np.abs(by_batch).max():.3f} by batch")
assert np.abs(by_row).max() < 0.05
assert np.abs(by_batch).max() == 1

# %% [markdown]
# On the left each row's pull is its own residual. On the right there are two kinds of good rows. Those in a batch
# with a wrong row pull with full force ±1, a hundred times too hard, and only their sign counts.
#
# The other way round is worse: in large batches one wrong row among a hundred may leave the mean residual below δ. Then
# the whole batch is squared, and the wrong row pulls with its full 20: no protection at all.

# %%
sparse = clean.y.copy()
sparse[::100] += 20  # one wrong row in a hundred
late = {}
for loss in (huber_by_row, huber_by_batch):
    steps = list(scratch.train(clean.X, sparse, loss=loss, lr=0.1, batch_size=500, epochs=60, seed=0))
    late[loss] = np.mean([error(np.r_[step.bias, step.weights]) for step in steps[-20:]])
    print(f"batches of 500, {loss.__name__:15} largest error of a weight {late[loss]:.4f}")
assert late[huber_by_row] < 0.02
assert late[huber_by_batch] > 0.1

# %% [markdown]
# **Symptom:** a loss that is robust with batches of one row and not otherwise; results that change with the batch
# size. **Remedy:** `torch.where`, which decides for each row, or `torch.clamp` on the slope. Linnet asks a loss for
# a function of one residual, so that this mistake cannot be made there.

# %% [markdown]
# ## How large should δ be?
#
# δ is a residual, in units of y, so it must be compared with the noise. Here that is 0.01, and δ = 1 is a hundred times
# as much. The line is pulled by 50 rows with force δ each and held by 950; the bias moves by about δ·50/950.
#
# How is the exact optimum found? From scratch, least squares is enough. Huber's optimum is a *weighted* least-squares
# fit in which each row weighs min(1, δ/|r|). Fit, recompute the weights, fit again, until nothing changes. Linnet's own
# solver takes Newton steps instead, and must end at the same weights.


# %%
def reweighted(X, y, delta):
    """[bias, weights] that minimise Huber's loss, by exact fits with row weights that follow from the fit before."""
    weight = np.ones(len(y))
    before = np.full(X.shape[1] + 1, np.inf)
    for _ in range(1_000):
        fit = linnet.fit(X, y, weight=weight, errors="none")
        if np.abs(fit.coefficients - before).max() < 1e-9:
            break
        before = fit.coefficients
        r = np.abs(y - fit.predict(X))
        weight = np.minimum(1, delta / np.maximum(r, delta))
    return fit.coefficients


deltas = [0.0135, 0.1, 1.0, 10.0]
print(f"{'δ':>8}{'reweighted':>12}{'Linnet':>10}{'4.2 + δ·50/950':>17}")
moved = []
for delta in deltas:
    by_weights, optimum = reweighted(clean.X, y, delta), linnet.fit(clean.X, y, loss=linnet.Huber(delta=delta))
    moved.append(optimum.bias - 4.2)
    print(f"{delta:8}{by_weights[0]:12.5f}{optimum.bias:10.5f}{4.2 + delta * 50 / 950:17.5f}")
    assert np.allclose(by_weights, optimum.coefficients, atol=1e-7)
    assert abs(moved[-1] - delta * 50 / 950) < 0.002 + 0.01 * delta

# %%
figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
axes.loglog(deltas, moved, "o-", label="bias of the exact optimum − 4.2")
axes.loglog(deltas, np.array(deltas) * 50 / 950, "--", label="δ · 50/950")
axes.axhline(squared.bias - 4.2, color="0.5", linestyle=":", label="squared loss")
axes.set(xlabel="δ (units of y)", ylabel="error of the bias", title="A robust loss is as robust as its δ is small")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# A common choice is 1.345 times the noise, here 0.0135: on clean normal data it costs 5 % of efficiency, and here it
# leaves an error smaller than the noise. torch's default, δ = 1, means something only if the noise of *your* y is
# near 1.
#
# ## What to remember
#
# - Huber's loss caps the pull of a row at δ; it does not remove it.
# - The decision belongs to the row. Beware of `if` on anything computed from a batch.
# - δ has the units of y. Choose it by the size of the noise.
# - Huber's optimum can be had exactly: by reweighted least squares, or from `linnet.fit(loss=Huber(δ))`, with standard
#   errors. A run of SGD shows both beside what it learned.
