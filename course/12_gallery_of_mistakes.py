# %% [markdown]
# # 12. A gallery of mistakes
#
# Five mistakes that nearly everybody who writes gradient descent makes once. None of them raises an error. For each:
# the line of code, the symptom by which to know it, the remedy, and what Linnet does about it.
#
# | | mistake | symptom |
# |---|---|---|
# | 1 | mean for sum, or sum for mean | ten times too slow, or it explodes when the batch grows |
# | 2 | the short last batch divided by the full size | every epoch ends with a feeble step |
# | 3 | the gradient is not set to zero | swings that never calm down |
# | 4 | columns of very different size | it explodes, or one weight does not move |
# | 5 | n × 1 against n | the loss stalls, all weights go to zero |

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import torch

import linnet
from linnet import figures, scratch

data = linnet.simulate([2, -3.4], bias=4.2, rows=1_000, noise=0.01, seed=12)
X, y = torch.tensor(data.X), torch.tensor(data.y)
truth = np.array([4.2, 2, -3.4])

# %% [markdown]
# The loop that all mistakes are made in. Its three arguments are the places where they enter: what the sum of the
# batch's losses is divided by, whether the gradient is forgotten after a step, and what a residual is.


# %%
def learn(X, y, lr=0.03, batch_size=10, epochs=3, divide_by=len, forget=True, residual=scratch.residual):
    """[bias, weights] after every step, and the mean loss of each batch before it."""
    u = torch.zeros(X.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    path, losses = [], []
    order = np.random.default_rng(0)
    for _ in range(epochs):
        for rows in torch.tensor(order.permutation(len(X))).split(batch_size):
            cost = residual(X[rows] @ u[1:] + u[0], y[rows]) ** 2 / 2
            (cost.sum() / divide_by(rows)).backward()
            with torch.no_grad():
                u -= lr * u.grad
            if forget:
                u.grad = None
            path.append(u.detach().numpy().copy())
            losses.append(cost.mean().item())
    return np.array(path), np.array(losses)


path, losses = learn(X, y)
print(f"without a mistake: {path[-1].round(4)}, largest error {np.abs(path[-1] - truth).max():.4f}")
assert np.allclose(path[-1], truth, atol=0.005)

# %% [markdown]
# ## 1. Mean for sum
#
# The textbook sums the losses of a batch and then takes a step of lr/batch; torch's losses return the mean and step by
# lr. Both are the same step. Mixing them is the mistake, and it has two directions:
#
# - sum the losses and step by lr: the step is *batch* times too long;
# - take the mean and divide lr by the batch as well: *batch* times too short.
#
# One tutorial answers the question "what changes when the sum becomes a mean?" with "divide the learning rate by the
# batch size". From which side? If 0.03/10 was right for the sum, then 0.03 is right for the mean: **multiply**.

# %%
runs = {
    "mean, lr": learn(X, y),
    "mean, lr / batch": learn(X, y, divide_by=lambda rows: len(rows) ** 2),
    "sum, lr, batch of 10": learn(X, y, divide_by=lambda _: 1),
    "sum, lr, batch of 100": learn(X, y, batch_size=100, divide_by=lambda _: 1),
}
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
for label, (_, losses) in runs.items():
    axes.semilogy(losses, linewidth=1, label=label)
axes.set(xlabel="step", ylabel="mean loss of the batch", title="Mean and sum", ylim=(1e-6, 1e8))
axes.legend(frameon=False)
plt.show()

final = {label: np.abs(path[-1] - truth).max() for label, (path, _) in runs.items()}
for label, far in final.items():
    print(f"{label:24} largest error after 3 epochs {far:.3g}")
assert final["mean, lr / batch"] > 1
assert final["sum, lr, batch of 10"] < 0.05
assert final["sum, lr, batch of 100"] > 1e6

# %% [markdown]
# **Symptom:** with the sum, all is well for a batch of 10 (a learning rate of 0.3 is bold, but stable) and it explodes
# for 100. **Remedy:** always the mean. Then a learning rate means the same for every batch size.
#
# There is a second factor hidden here: torch's `MSELoss` is r², ours is r²/2. The slope is twice as large, and so is
# the step.
#
# **Linnet** takes the mean, always. A learning rate of 3, which is what the exploding run had in effect, it stops
# within an epoch, and it says what would have been stable.

# %%
looks = []
solver = linnet.SGD(lr=3, batch_size=100, epochs=3, tol=None, every=1)
fit = linnet.fit(data.X, data.y, solver=solver, progress=looks.append)
print(fit.status.text, *fit.notes, sep="\n")
assert fit.status is linnet.Status.DIVERGED
went = [step for step in looks if step.status is None]  # after each minibatch; the last look tells how it ended
assert went
assert all(step.epoch == 1 for step in went)
for batch_size in (10, 100):
    fit = linnet.fit(data.X, data.y, solver=linnet.SGD(lr=0.3, batch_size=batch_size, epochs=10, tol=None))
    assert np.allclose(fit.coefficients, truth, atol=0.02)

# %% [markdown]
# ## 2. The short last batch
#
# 1,000 rows in batches of 300 leave 100 rows over. One tutorial says that this raises an error. It does not: slices,
# and torch's `DataLoader`, give a shorter last batch.

# %%
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), batch_size=300)
lengths = [len(rows) for rows, _ in loader]
print("rows in the batches:", lengths)
assert lengths == [300, 300, 300, 100]

# %% [markdown]
# The mistake comes after that: the sum of 100 losses divided by 300. The step is a third of what it should be. It is
# plainest where there are few batches. With 1,000 rows in batches of 900, every second step is a ninth.

# %%
right, _ = learn(X, y, lr=0.3, batch_size=900, epochs=12)
wrong, _ = learn(X, y, lr=0.3, batch_size=900, epochs=12, divide_by=lambda _: 900)
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
for label, path in (("divided by its own length", right), ("divided by 900", wrong)):
    error = np.linalg.norm(np.vstack([np.zeros(3), path]) - truth, axis=1)
    axes.semilogy(np.arange(len(error)) / 2, error, "o-", markersize=4, label=label)
axes.set(xlabel="epoch", ylabel="distance from the truth", title="The last batch of an epoch: 100 rows of 900")
axes.legend(frameon=False)
plt.show()

first = np.linalg.norm(learn(X[:100], y[:100], epochs=1, batch_size=900)[0][0])
weak = np.linalg.norm(learn(X[:100], y[:100], epochs=1, batch_size=900, divide_by=lambda _: 900)[0][0])
print(f"length of a step on 100 rows, divided by 900 instead: {weak / first:.4f} of what it should be")
assert np.isclose(weak / first, 1 / 9)
assert np.linalg.norm(wrong[-1] - truth) > 10 * np.linalg.norm(right[-1] - truth)

# %% [markdown]
# **Symptom:** a staircase: every epoch ends with a flat tread. **Remedy:** divide by `len(batch)`, not by `batch_size`.
#
# To be fair to the mistake: it gives every row of the epoch the same say, where the right division gives the 100 rows
# of the short batch nine times as much each. That is why the order must be fresh in each epoch; then no row is favoured
# for long.
#
# **Linnet** divides by the batch's own length. Step for step it goes where `scratch` goes.

# %%
solver = linnet.SGD(lr=0.03, batch_size=300, epochs=3, init="normal", tol=None, every=1)
compiled = list(solver.steps(linnet.Objective(linnet.Squared()), linnet.open_source(data.X, data.y)))
by_hand = list(scratch.train(data.X, data.y, lr=0.03, batch_size=300, epochs=3))
met = {step.step: step for step in compiled}
for step in by_hand:
    assert np.allclose(met[step.step].weights, step.weights, rtol=1e-12)
    assert np.isclose(met[step.step].bias, step.bias, rtol=1e-12)
print(f"{len(by_hand)} steps, the same to 12 digits")

# %% [markdown]
# ## 3. The gradient is not set to zero
#
# `backward` adds to `.grad`. Without `zero_grad()` each step goes along the sum of all gradients since the beginning:
# a ball that rolls through the valley, up the other side and back, without friction.

# %%
calm, _ = learn(X, y)
swinging, losses = learn(X, y, forget=False)
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
axes.plot(swinging[:, 2], linewidth=1, label="gradient never forgotten")
axes.plot(calm[:, 2], label="forgotten after each step")
axes.axhline(-3.4, color="0.6", linestyle=":", label="truth")
axes.set(xlabel="step", ylabel="second weight", title="Missing zero_grad", ylim=(-8, 4))
axes.legend(frameon=False)
plt.show()
print(f"mean loss of the last 100 batches: {losses[-100:].mean():.3g}, at the start {losses[:10].mean():.3g}")
assert losses[-100:].mean() > 0.1

# %% [markdown]
# **Symptom:** regular swings around the answer that do not shrink, and may grow a little; the loss neither settles nor
# explodes. Their period is about 2π/√lr steps, here 36. **Remedy:** `optimizer.zero_grad()` before each `backward`, or
# set `.grad` to None.
#
# The mistake is an old acquaintance. A sum of all past gradients is *momentum* with nothing lost on the way, a momentum
# of 1. With 0.9 the same ball has friction, and comes to rest.

# %%
order = np.random.default_rng(0)
orders = [order.permutation(1_000) for _ in range(3)]
start = ([0, 0], 0)
same = list(scratch.train(data.X, data.y, momentum=1.0, start=start, order=lambda epoch: orders[epoch - 1]))
assert np.allclose([step.weights for step in same], swinging[:, 1:], rtol=1e-6, atol=1e-8)

friction = list(scratch.train(data.X, data.y, lr=0.003, momentum=0.9, start=start, epochs=3))
labels = ["never forgotten: momentum 1", "momentum 0.9"]
plt.figure(figures.path([same[:60], friction], data.X, data.y, labels=labels))
plt.show()

# %% [markdown]
# The ball on the map of the loss: with friction it rolls into the middle, without it circles. `linnet.SGD` does not
# accept a momentum of 1.

# %%

try:
    linnet.SGD(lr=0.03, momentum=1.0)
except linnet.InputError as error:
    print("Linnet:", error)
    refused = True
assert refused
fit = linnet.fit(data.X, data.y, solver=linnet.SGD(lr=0.003, batch_size=10, epochs=3, momentum=0.9, tol=None))
assert np.allclose(fit.coefficients, truth, atol=0.01)

# %% [markdown]
# ## 4. Columns of very different size
#
# The same table, but one column was noted in grams instead of kilograms: its numbers are 1,000 times as large, and its
# weight 1,000 times as small.

# %%
scaled = X * torch.tensor([1.0, 1_000.0])
scaled_truth = truth / [1, 1, 1_000]
with np.errstate(all="ignore"):
    exploded, _ = learn(scaled, y, lr=0.03)
crawling, _ = learn(scaled, y, lr=2e-7)
print("lr 0.03: steps 1, 2, 3 of the second weight", *(f"{u:.3g}" for u in exploded[:3, 2]))
print(f"lr 2e-7: after 3 epochs {crawling[-1].round(5)}, truth {scaled_truth}")
assert not np.isfinite(exploded[-1]).all()
assert np.abs(crawling[-1, :2] - truth[:2]).min() > 1.9  # these two have hardly moved
assert abs(crawling[-1, 2] / scaled_truth[2] - 1) < 0.2

# %%
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
styles = ({"linewidth": 4, "alpha": 0.5}, {"linestyle": "--"}, {})  # the first two lie on one another
for j, label in enumerate(("bias", "first weight", "second weight (column in grams)")):
    axes.plot(crawling[:, j] / scaled_truth[j], label=label, **styles[j])
axes.axhline(1, color="0.6", linestyle=":")
axes.set(xlabel="step", ylabel="learned / truth", title="A learning rate that the large column bears: 2e-7")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# **Symptom:** it explodes at learning rates that work elsewhere; with one small enough, the weight of the large column
# is learned at once and the others do not move. No learning rate suits both: the largest is bounded by the largest
# eigenvalue, the time by the smallest, and here they are a million apart. **Remedy:** standardise the columns, train,
# and convert the weights back.
#
# **Linnet**, given a learning rate, names the column to blame. Given none, it standardises inside and answers in the
# units of the table.

# %%
table = pa.table({"length_m": data.X[:, 0], "mass_g": 1_000 * data.X[:, 1], "y": data.y})
fit = linnet.fit(table, "y", solver=linnet.SGD(lr=0.03, batch_size=10, epochs=3, tol=None))
print(fit.status.text, *fit.notes, sep="\n")
assert fit.status is linnet.Status.DIVERGED
assert "`mass_g`" in fit.notes[0]

fit = linnet.fit(table, "y", solver="sgd")
print(fit)
assert fit.status is linnet.Status.CONVERGED
assert np.abs(fit.distance).max() < 0.05

# %% [markdown]
# ## 5. n × 1 against n
#
# A linear layer returns shape (n, 1). The target has shape (n,). Their difference is not an error: each of n targets is
# compared with each of n predictions, an n × n table. So the textbook's loss has a `reshape` in it. Here it is, with
# and without, at the true weights, where all that is left should be half the variance of the noise:


# %%
def squared_loss(prediction, y):
    return (y.reshape(prediction.shape) - prediction) ** 2 / 2


def without_reshape(prediction, y):
    return (y - prediction) ** 2 / 2


prediction = X @ torch.tensor(truth[1:])[:, None] + truth[0]  # (1000, 1), as nn.Linear gives it
for loss in (squared_loss, without_reshape):
    cost = loss(prediction, y)
    print(f"{loss.__name__:16} shape {tuple(cost.shape)}, mean at the true weights {cost.mean().item():.6f}")
assert 4e-5 < squared_loss(prediction, y).mean() < 6e-5
assert without_reshape(prediction, y).shape == (1_000, 1_000)
assert without_reshape(prediction, y).mean() > 10

# %% [markdown]
# And what it does to a run:


# %%
def careless(prediction, y):
    return y - prediction.reshape(-1, 1)


stuck, losses = learn(X, y, residual=careless, divide_by=lambda rows: len(rows) ** 2, epochs=6)
_, well = learn(X, y, epochs=6)
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
axes.semilogy(losses, linewidth=1, label="(n,) − (n, 1)")
axes.semilogy(well, linewidth=1, label="same shapes")
axes.axhline(data.y.var() / 2, color="0.4", linestyle=":", label="half the variance of y")
axes.set(xlabel="step", ylabel="mean loss of the batch", title="Everything compared with everything")
axes.legend(frameon=False)
plt.show()

print(f"learned {stuck[-1].round(2)}; mean of y {data.y.mean():.2f}; half its variance {data.y.var() / 2:.2f}")
assert np.abs(stuck[-300:, 1:].mean(axis=0)).max() < 0.4
assert abs(stuck[-300:, 0].mean() - data.y.mean()) < 0.4
assert 0.7 < losses[-300:].mean() / (data.y.var() / 2) < 1.3

# %% [markdown]
# **Symptom:** the loss falls a little, then stalls at half the variance of y. The weights go to zero and the bias to
# the mean of y: the best *single* number for all rows, since every prediction is judged by every target.
#
# **Remedy:** `y.reshape(prediction.shape)`, as the textbook's `squared_loss` does, and `scratch.residual` too. torch's
# own losses warn, so do not silence warnings:

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.nn.functional.mse_loss(y[:10].reshape(-1, 1), y[:10])
print(caught[0].message)
assert "size" in str(caught[0].message)

# %% [markdown]
# **Linnet** checks shapes in one place, where the rows come in. A target of shape (n, 1) can only mean one thing, and
# is taken so. What could mean two is refused.

# %%
column, flat = linnet.fit(data.X, data.y[:, None]), linnet.fit(data.X, data.y)
assert (column.coefficients == flat.coefficients).all()
try:
    linnet.fit(data.X, np.outer(data.y, [1, 1]))
except linnet.InputError as error:
    print(error)
    two_columns_refused = True
assert two_columns_refused

# %% [markdown]
# ## What to remember
#
# - A learning rate belongs to a mean. Write the mean.
# - Divide by `len(batch)`.
# - Forget the gradient.
# - Bring columns to one size.
# - Compare shapes before values.
# - And look at the loss curve: a fall to the noise is right, a plateau, a swing or an explosion each has its own cause.
