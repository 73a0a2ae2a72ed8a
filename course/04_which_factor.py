# %% [markdown]
# # 4. Which factor matters
#
# Four qualities, appearance, character, wealth and inner qualities, and a number of relationships that they are said to
# explain. The data are invented, so the answer is known: appearance counts 8.1, character 2, wealth 2, inner qualities
# 4. What is new is the loss, the absolute residual, and it teaches something the square could not: a constant step
# never settles.
#
# We learn the weights, reproduce the published descent, find the exact optimum by another road, and measure how far
# from it the run stopped.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
from scipy.optimize import linprog

import linnet
from linnet import figures, scratch

FACTORS = ("appearance", "character", "wealth", "inner qualities")
TRUE = np.array([8.1, 2.0, 2.0, 4.0])

random = np.random.default_rng(4)
X = random.standard_normal((500, 4))
y = X @ TRUE + random.normal(1.0, 0.01, 500)

# %% [markdown]
# ⚠ Look at the noise: its mean is 1, not 0. The program that this comes from prints a "true bias" of 1.1, which never
# enters the data. **Symptom:** the learned bias, 1.0013, seems to be off by a tenth however long one trains.
# **Remedy:** compare with what made the data. The bias that can be recovered is 1.

# %% [markdown]
# ## From scratch
#
# Weights from N(0, 0.1), bias 0.01, the mean absolute error of 16 rows, learning rate 0.01, 50 epochs. What is printed
# is the sum over the 32 batches of their mean losses.

# %%
start = (random.normal(0, 0.1, 4), 0.01)
steps = list(scratch.train(X, y, loss=scratch.absolute, lr=0.01, batch_size=16, epochs=50, start=start))
sums = np.array([step.loss for step in steps]).reshape(50, 32).sum(axis=1)
learned = np.r_[steps[-1].bias, steps[-1].weights]

# %% [markdown]
# The published program counts epochs from 0.

# %%
published = {0: 232.31, 1: 226.15, 20: 110.37, 30: 51.14, 36: 13.18, 38: 1.51}
print(f"{'epoch':>6}{'published':>12}{'here':>10}")
for epoch, theirs in published.items():
    print(f"{epoch:6}{theirs:12.2f}{sums[epoch]:10.2f}")
print(f"{'then':>6}{'0.29–0.31':>12}{sums[42:].min():10.3f} to {sums[42:].max():.3f}")
for name, truth, theirs, ours in zip(
    ("bias", *FACTORS), (1.0, *TRUE), (1.0013, 8.0994, 2.0012, 2.0073, 4.0042), learned, strict=True
):
    print(f"{name:16} true {truth:4.1f}   published {theirs:.4f}   here {ours:.4f}")

assert abs(sums[0] / 232.31 - 1) < 0.15
assert (np.diff(sums[:35]) < 0).all()
assert 0.25 < sums[42:].min() < sums[42:].max() < 0.35
assert np.allclose(learned[1:], TRUE, atol=0.03)
assert abs(learned[0] - 1) < 0.03

# %% [markdown]
# ## Why is the descent a straight line?
#
# With squares the slope is the residual: large errors, large steps, and the loss falls by a constant *factor*. The
# slope of |r| is +1 or −1, whatever the size of r. All steps are about equally long, so the loss falls by a constant
# *amount*: 6 an epoch, for 38 epochs. Then it stops falling at once.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
left.plot(sums, label="here")
left.plot(list(published), list(published.values()), "o", color="0.2", markersize=5, label="published")
left.set(xlabel="epoch", ylabel="sum of the batches' mean losses", title="Down at an even pace")
left.legend(frameon=False)
right.semilogy(sums, label="here")
right.semilogy(list(published), list(published.values()), "o", color="0.2", markersize=5, label="published")
right.axhspan(0.29, 0.31, color="0.8", label="published, from 39 on")
right.set(xlabel="epoch", title="and then not at all")
right.legend(frameon=False)
plt.show()

# %% [markdown]
# ## The exact optimum
#
# The least sum of absolute residuals is a linear program. Split each residual into a part above and a part below the
# plane, r = u − v with u, v ≥ 0; then |r| is at least as small as u + v, and minimising the sum of u + v over weights,
# u and v is what solvers such as HiGHS do.

# %%
A = np.column_stack([np.ones(500), X])
program = linprog(
    c=np.r_[np.zeros(5), np.ones(1_000)],
    A_eq=np.column_stack([A, np.eye(500), -np.eye(500)]),
    b_eq=y,
    bounds=[(None, None)] * 5 + [(0, None)] * 1_000,
    method="highs",
)
exact = program.x[:5]
residuals = np.abs(y - A @ exact)
print("exact optimum", exact.round(5), f" mean |r| {residuals.mean():.6f}")
print(f"rows that lie on the plane: {(residuals < 1e-9).sum()}, one for each number that is fitted")
assert program.status == 0
assert (residuals < 1e-9).sum() == 5
assert np.allclose(exact, [1.0, *TRUE], atol=0.005)

# %% [markdown]
# A thousand auxiliary variables for five numbers: that is why few people do it for large tables. Linnet solves the same
# program by an interior-point method, in passes over the rows, and says how far from the optimum it can be at most.

# %%
optimum = linnet.fit(X, y, loss="absolute")
print(optimum)
assert np.allclose(optimum.coefficients, exact, atol=1e-9)
assert optimum.gap < 1e-12

# %% [markdown]
# ## How far did the run stop from it?
#
# A ruler is needed. That is the standard error: how much the exact answer itself would move if the 500 rows were drawn
# again. The table above has it. For the absolute loss and normal noise it should be about √(π/2) times that of least
# squares.

# %%
least_squares = linnet.fit(X, y)
ruler = np.r_[optimum.bias_std_error, optimum.std_errors]
theory = np.sqrt(np.pi / 2) * np.r_[least_squares.bias_std_error, least_squares.std_errors]
print("standard errors over theory", (ruler / theory).round(2))
assert np.allclose(ruler, theory, rtol=0.35)


def report(name, coefficients):
    far = np.abs(coefficients - exact) / ruler
    above = np.abs(y - A @ coefficients).mean() / residuals.mean() - 1
    print(f"{name:34} loss {100 * above:8.4f} % above the least, at most {far.max():6.2f} standard errors off")
    return above, far.max()


constant, away = report("constant step 0.01", learned)
before = np.r_[steps[-2].bias, steps[-2].weights]
report("the same, one batch earlier", before)
assert constant > 0.05
assert away > 1

# %% [markdown]
# The weights are many standard errors away, and a single batch changes by how much. More epochs would not help: at the
# optimum each row still pulls with full force, so a batch moves the weights by 0.01 times the mean of sixteen rows with
# random signs, and the next one moves them back. The run does not converge, it hovers.

# %%
late = np.array([np.r_[step.bias, step.weights] for step in steps[45 * 32 :]])
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
for j, name in enumerate(("bias", *FACTORS)):
    axes.plot((late[:, j] - exact[j]) / ruler[j], linewidth=1, label=name)
axes.axhspan(-1, 1, color="0.9", label="one standard error")
axes.set(xlabel="step of the last five epochs", ylabel="distance in standard errors", title="Hovering", ylim=(-20, 24))
axes.legend(frameon=False, ncols=3, fontsize=9)
plt.show()
assert np.abs((late - exact) / ruler).max(axis=0).min() > 1

# %% [markdown]
# It matters where one stops. 500 rows are 31 batches of sixteen and one of four. A mean of four signs strays twice as
# far as a mean of sixteen, and every epoch *ends* with that batch. In five epochs that is hard to see. So let it hover
# for 400 more, and take the mean for each place in the epoch:

# %%
objective, source = linnet.Objective(linnet.Absolute()), linnet.open_source(X, y)
hover = linnet.SGD(lr=0.01, batch_size=16, epochs=400, start=tuple(learned.tolist()), tol=None, every=1)
hovering = np.array([[step.bias, *step.weights] for step in hover.steps(objective, source)][: 400 * 32])
above = 100 * (np.abs(y - hovering @ A.T).mean(axis=1) / residuals.mean() - 1).reshape(400, 32)

figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
axes.bar(range(1, 33), above.mean(axis=0), color=["C0"] * 31 + ["C1"])
axes.set(xlabel="batch of the epoch", ylabel="loss above the least (%)", title="Mean over 400 epochs")
plt.show()

others, last = above[:, :-1].mean(), above[:, -1].mean()
worst = (above.argmax(axis=1) == 31).mean()
print(f"loss above the least: {last:.1f} % after the batch of four, {others:.1f} % after the others")
print(f"the end of an epoch is its worst moment in {100 * worst:.0f} of 100 epochs")
assert 2.5 < last / others < 4
assert 0.4 < worst < 0.8
assert constant < others / 100

# %% [markdown]
# What a run returns is, on average, three times as far above the least as what it passed through, and the worst of its
# epoch more often than not. Ours was lucky, with 8 %.

# %% [markdown]
# ## Three remedies
#
# Make the steps shorter as time goes on (`schedule`), or average what hovers (`average`), or leave both to Linnet,
# which does so whenever the learning rate is its own. The same loss, the same rows:

# %%
from_there = {"loss": "absolute"}
begin = (start[1], *start[0].tolist())
book = {"lr": 0.01, "batch_size": 16, "start": begin, "tol": None}
compiled = linnet.fit(X, y, solver=linnet.SGD(epochs=50, **book), **from_there)
falling = linnet.fit(X, y, solver=linnet.SGD(epochs=400, schedule="inverse-time", decay=0.02, **book), **from_there)
settled = {**book, "start": tuple(learned.tolist())}
averaged = linnet.fit(X, y, solver=linnet.SGD(epochs=400, average=True, **settled), **from_there)
automatic = linnet.fit(X, y, solver=linnet.SGD(seed=1), **from_there)

assert np.allclose(compiled.coefficients, learned, rtol=1e-9)  # Linnet's SGD is the loop above
results = {
    "constant step 0.01, compiled": compiled,
    "falling step, 400 epochs": falling,
    "averaged over 400 more epochs": averaged,
    f"Linnet's own, {automatic.settings['epochs']} epochs": automatic,
}
judged = {name: report(name, fit.coefficients) for name, fit in results.items()}
print(compiled)  # learned and exact side by side, as for every run whose optimum Linnet can find
assert np.allclose(compiled.exact, exact, atol=1e-9)
assert judged["averaged over 400 more epochs"][1] < away / 3

# %% [markdown]
# Left to itself, Linnet went on for tens of thousands of epochs. With this loss it stops once the averaged weights have
# moved by less than 5 % of a least-squares standard error over the latter half of the epochs. With 500 rows that is a
# matter of a second, and still no short way: the exact fit above took three passes over the rows. Fifty epochs, as many
# as the loop above had, come near enough.

# %%
print(f"passes over the rows: {optimum.passes} by the interior-point method, {automatic.settings['epochs']:,} by SGD")
print(f"{automatic.status.name}: {automatic.status.text}")
assert automatic.status is linnet.Status.STEADY
assert judged[list(results)[-1]][1] < 0.1
assert automatic.settings["epochs"] > 10_000
assert optimum.passes == 3
fifty = linnet.fit(X, y, solver=linnet.SGD(batch_size=16, epochs=50, tol=None), **from_there)
assert 0.001 < report("Linnet's own, 50 epochs", fifty.coefficients)[0] < 0.003
labels = ["constant step 0.01", "Linnet's own"]
plt.figure(figures.loss_curve(compiled, fifty, labels=labels, optimum=residuals.mean()))
plt.show()

# %% [markdown]
# Read such a curve with care. It shows the loss that rows met while the weights were moving, and on it the constant
# step ends lower. But it returns where it happens to stand, after a batch of four. Linnet, with a learning rate of its
# own, returns the average of its late steps: 0.2 % above the dashed line, which no eye could tell from it.
#
# ## So which factor matters?
#
# All features here have the same spread, so their weights can be compared as they are. Appearance moves the result
# twice as much as inner qualities and four times as much as wealth or character. The standard errors say how sure that
# is: the differences are thousands of them.
#
# With real columns the units differ, and then a weight times the column's standard deviation is what compares. That
# is what `plot` shows.

# %%
table = pa.table({**dict(zip(FACTORS, X.T, strict=True)), "relationships": y})
named = linnet.fit(table, "relationships")
print(named)
assert list(np.argsort(-named.weights)[:2]) == [0, 3]
plt.figure(named.plot())
plt.show()

# %% [markdown]
# ## What to remember
#
# - Judge what is learned by what was put into the data, not by what was printed beside it.
# - Under the absolute loss all steps are equally long: an even descent, then hovering. A constant step never settles.
# - Falling steps or averaging bring it to rest. How near, only the exact optimum tells.
# - Weights compare only if their columns have the same spread.
