# %% [markdown]
# # 5. Learning rates: too small, right, too large
#
# The learning rate is the one number that everybody turns. Too small, and nothing seems to happen; too large, and
# everything explodes. Between the two lies a border that can be computed before the first step: 2/λ, where λ is the
# largest curvature of the loss.
#
# This lesson shows runs on both sides of the border, why chance brings it nearer, why columns of different size make
# it narrow, and how `lr="auto"` uses all that.

# %%
import matplotlib.pyplot as plt
import numpy as np

import linnet
from linnet import figures, scratch

data = linnet.simulate([2, -3.4], bias=4.2, rows=1_000, noise=0.01, seed=5)
X, y = data.X, data.y
truth = np.array([4.2, 2, -3.4])
exact = linnet.fit(X, y)

# %% [markdown]
# ## The border
#
# The loss r²/2 has the same curvature everywhere: the second moments of [1, x₁, x₂], a matrix of 3 × 3. Along its
# eigenvectors the errors do not mix, and a step multiplies each by 1 − lr·λ. That shrinks as long as lr·λ < 2; beyond,
# each step overshoots by more than it corrects.

# %%
A = np.column_stack([np.ones(1_000), X])
curvatures = np.linalg.eigvalsh(A.T @ A / 1_000)
border = 2 / curvatures[-1]
print("curvatures", curvatures.round(3), f" border 2/λ = {border:.3f}")

figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
lr = np.linspace(0, 2.4, 200)
for curvature in curvatures:
    axes.plot(lr, np.abs(1 - lr * curvature), label=f"curvature {curvature:.2f}")
axes.axhline(1, color="0.6", linestyle=":")
axes.axvline(border, color="0.6", linestyle="--", label="2/λ for the largest")
axes.set(xlabel="learning rate", ylabel="|1 − lr·λ|", title="What is left of an error after one step")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## On both sides of it
#
# First with all rows in each step, so that nothing is left to chance.


# %%
def descend(lr, epochs, X=X, batch_size=1_000, start=([-1.0, -7.0], 0.0)):
    """The Steps of a run, with its start as the first of them."""
    begin = linnet.Step(epoch=0, step=0, rows=0, weights=np.array(start[0]), bias=start[1])
    return [begin, *scratch.train(X, y, lr=lr, batch_size=batch_size, epochs=epochs, start=start)]


rates = {"too small": 0.02, "right": 0.6, "nearly too large": 0.97 * border, "too large": 1.03 * border}
starts = ([-1.5, 0.5], [5.5, -6.0], [5.5, 1.5], [0.5, -5.5])  # each from another side, to see them apart
runs = {
    f"{name}: {lr:.3g}": descend(lr, 40, start=(start, 0.0))
    for (name, lr), start in zip(rates.items(), starts, strict=True)
}
for label, steps in runs.items():
    far = [np.linalg.norm([s.bias - 4.2, *(s.weights - truth[1:])]) for s in steps]
    print(f"lr {label:24} distance from the truth after 1, 10, 40 steps: {far[1]:.3f} {far[10]:.3f} {far[40]:.3f}")

far = {name: np.abs(steps[-1].weights - truth[1:]).max() for name, steps in zip(rates, runs.values(), strict=True)}
assert far["right"] < 0.002
assert far["too small"] > 1
assert far["nearly too large"] > 0.01
assert far["too large"] > 2

# %%
plt.figure(figures.path(list(runs.values()), X, y, labels=list(runs)))
plt.show()

# %% [markdown]
# *Too small* comes the right way and does not arrive. *Right* is there after a few steps. *Nearly too large* leaps from
# side to side, a little nearer each time. *Too large* leaps as well, and each leap is longer than the last.

# %%
plt.figure(figures.loss_curve(*runs.values(), labels=list(runs), optimum=exact.objective))
plt.show()

# %% [markdown]
# **Symptom** of a rate that is too large: the loss grows by a constant factor each step, in the end. How fast depends
# on how far beyond the border the rate is. At 1.03 · 2/λ a step multiplies the error by −1.06 and the loss by 1.06²:
# after 300 steps it is 10¹⁵ times as large, and after 6,000 it is `inf`, then `nan`. It does not grow because the model
# is bad. **Remedy:** a smaller rate, not a longer run.

# %%
growth = (1 - 2 * 1.03) ** 2
tail = [step.loss for step in list(runs.values())[-1][-2:]]
print(f"too large: the loss grows by {tail[1] / tail[0]:.4f} in the last step; 1.06² is {growth:.4f}")
assert abs(tail[1] / tail[0] - growth) < 0.001

moments = A.T @ A / 1_000
off, grown = np.array([0, 0.5, -5.5]) - truth, []  # how far off [bias, weights] are, and the loss above the least
with np.errstate(over="ignore"):
    while not grown or np.isfinite(grown[-1]):
        grown.append(off @ moments @ off / 2)
        off = off - 1.03 * border * moments @ off
print(f"300 steps multiply it by {grown[300] / grown[0]:.1e}; it is inf after {len(grown) - 1:,}")
assert 1e14 < grown[300] / grown[0] < 1e16
assert 5_500 < len(grown) < 6_500

# %% [markdown]
# The border is sharp: 2 % below it 400 steps lead to the answer, 2 % above it they lead away. Now with Linnet, which
# notices. We count its epochs, here of one step each, as they go by.


# %%
def watched(factor):
    """A fit with that share of 2/λ, and how many epochs it ran."""
    looks = []
    solver = linnet.SGD(lr=factor * border, batch_size=1_000, epochs=400, tol=None)
    return linnet.fit(X, y, solver=solver, progress=looks.append), max(step.epoch for step in looks)


for factor in (0.98, 1.02):
    fit, epochs = watched(factor)
    print(f"{factor} · 2/λ: {epochs} steps, weights {fit.weights.round(3)}, {fit.status.name}")
    assert (fit.status is linnet.Status.DIVERGED) == (factor > 1)
    assert np.allclose(fit.weights, exact.weights, atol=0.01) == (factor < 1)

# %% [markdown]
# ## Chance brings the border nearer
#
# A minibatch has its own curvature, now smaller, now larger than that of all rows. What counts is not the average of
# the steps but of their squares, and that is larger. For batches of B rows the border is about
#
# $$\frac{2}{\lambda\,(B - 1)/B + \rho/B}$$
#
# where ρ is the mean of ‖x‖⁴ over the mean of ‖x‖². A single row is stable only below 2/ρ.

# %%
square = (A**2).sum(axis=1)
rho = (square**2).mean() / square.mean()
sizes = (1, 3, 10, 100, 1_000)
for B in sizes:
    print(f"batches of {B:5}: border about {2 / (curvatures[-1] * (B - 1) / B + rho / B):.3f}")

# %% [markdown]
# Below it: how far 20 epochs get for each learning rate and three batch sizes. Linnet's compiled SGD makes 72 runs a
# matter of a moment, and a run that diverges says so.

# %%
grid = np.geomspace(0.0003, 3, 24)
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
for B, colour in zip((1, 10, 1_000), ("C0", "C1", "C2"), strict=True):
    fits = [linnet.fit(X, y, solver=linnet.SGD(lr=lr, batch_size=B, epochs=20, tol=None)) for lr in grid]
    good = np.array([fit.status is not linnet.Status.DIVERGED for fit in fits])
    error = np.array([np.abs(fit.coefficients - exact.coefficients).max() for fit in fits])
    axes.loglog(grid[good], np.maximum(error[good], 1e-7), "o-", color=colour, markersize=4, label=f"batches of {B:,}")
    axes.axvline(2 / (curvatures[-1] * (B - 1) / B + rho / B), color=colour, linestyle=":", linewidth=1)
    assert (np.diff(good.astype(int)) <= 0).all()  # once too large, always too large
    assert not good[-1]
    best = np.argmin(error[good])
    assert min(error[0], error[good][-1]) > 10 * error[best]  # a valley: worse to its left and to its right
    assert (np.diff(error[:best]) < 0).all()
axes.set(
    xlabel="learning rate",
    ylabel="largest distance from the exact weights",
    title="After 20 epochs. Dotted: the border for this batch size",
)
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Each curve is a valley. On its left the run is too short; on its right the unrest of the minibatches grows with the
# step; at the border it ends, or shoots up, if 20 epochs were not enough to explode. (All rows at once know no unrest:
# their curve falls out of the picture, to the exact answer.) Small batches take many steps, so they get far at small
# rates, and pay with unrest at large ones. There is no single right learning rate: it depends on how long you will run.

# %% [markdown]
# ## Columns of different size
#
# Now one column is written in other units, so that its numbers are ten times as large. The border falls by a hundred,
# since the curvature is a mean of squares. The other directions have not changed: they need the old rate and may not
# have it.

# %%
wide = X * [1, 10]
A_wide = np.column_stack([np.ones(1_000), wide])
curvatures_wide = np.linalg.eigvalsh(A_wide.T @ A_wide / 1_000)
border_wide = 2 / curvatures_wide[-1]
print(f"border {border_wide:.4f} instead of {border:.3f}; the slowest direction then needs", end=" ")
print(f"{curvatures_wide[-1] / curvatures_wide[0]:.0f} steps where 1 would do")

valley = descend(0.9 * border_wide, 60, X=wide, start=([-1.0, 0.1], 0.0))
plt.figure(figures.path(valley, wide, y))
plt.show()

# %% [markdown]
# Mind the axes: upwards they count ten times finer. In equal units this is a valley, ten times as long as it is wide.
# Across it the run leaps, along it it crawls.

# %%
assert abs(valley[-1].weights[1] + 0.34) < 0.02
assert abs(valley[-1].weights[0] - 2) > 0.5

# %% [markdown]
# **Symptom:** one weight is learned at once, another not at all; a larger rate explodes. **Remedy:** bring the columns
# to a common size, learn, and convert the weights back.
#
# ## What Linnet says and does
#
# Given a learning rate beyond the border, it stops at the end of the epoch in which the loss has become ten times what
# it was at the start. It keeps finite weights, and says where the border is: the same number as above. Far beyond the
# border that is soon. Close to it the loss falls at first, and the one direction that grows needs its time.

# %%
took = []
for factor in (1.02, 1.1, 1.5, 2, 3):
    took.append(watched(factor)[1])
    print(f"{factor:4} · 2/λ: {took[-1]} epochs run")
assert 50 < took[0] < 400
assert (np.diff(took) < 0).all()
assert 1 <= took[-1] <= 3

# %%
wild = linnet.fit(X, y, solver=linnet.SGD(lr=1.1 * border, batch_size=1_000, epochs=200, tol=None))
print(wild.status.text)
print(*wild.notes, sep="\n")
assert wild.status is linnet.Status.DIVERGED
assert f"{border:.3g}" in wild.notes[0]
assert np.isfinite(wild.coefficients).all()

# %% [markdown]
# Given none, it standardises the columns inside, takes half of the border for its batch size, averages the late steps,
# and stops when every weight is within 5 % of its standard error of the exact one. The weights come back in the units
# of the columns, so the wide column needs no care.

# %%
for name, columns in (("X", X), ("one column × 10", wide), ("one column × 1,000,000", X * [1, 1e6])):
    fit = linnet.fit(columns, y, solver="sgd")
    lr, batches, epochs = (fit.settings[key] for key in ("lr", "batch_size", "epochs"))
    away = np.abs(fit.distance).max()
    print(f"{name:24} lr {lr:.3f}, batches of {batches}, {epochs} epochs: {away:.3f} standard errors off")
    assert fit.status is linnet.Status.CONVERGED
    assert away <= 0.05

# %% [markdown]
# ## What to remember
#
# - The border is 2/λ, with λ the largest eigenvalue of the second moments of [1, X]. Compute it, do not search for it.
# - Small batches bring it nearer. One row at a time is the most delicate.
# - Under constant steps a larger rate is faster and ends less precisely.
# - Columns of different size make the border small and the run long. Standardise.
