# %% [markdown]
# # 1. Linear regression from scratch
#
# A thousand rows, two numbers in each, and a third number that depends on them by a rule we pretend not to know. We
# guess the rule, see how wrong the guess is, and let the slope of the error tell us how to guess better. Three hundred
# small corrections later the rule is found, to within two thousandths.
#
# That is all of gradient descent. This lesson writes it out line by line, then asks what each line was needed for:
# what stands in a gradient, whether more epochs help, and whether one may start from zero.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import linnet
from linnet import figures, scratch

# %% [markdown]
# ## The data
#
# Both features come from N(0, 1). The rule is y = 2·x₁ − 3.4·x₂ + 4.2, and each y is off by a little noise with
# standard deviation 0.01. Since we made the data, we can judge what is learned.

# %%
W, B, NOISE = [2.0, -3.4], 4.2, 0.01
data = linnet.simulate(W, B, rows=1_000, noise=NOISE, seed=1)
X, y = torch.tensor(data.X), torch.tensor(data.y)  # (1000, 2) and (1000,)
print("first row:", X[0].numpy().round(3), "->", round(y[0].item(), 3))

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
for j, panel in enumerate(axes):
    panel.plot(X[:, j], y, ".", markersize=3)
    panel.set(xlabel=f"x{j + 1}", title=f"true weight {W[j]}")
axes[0].set_ylabel("y")
plt.show()

# %% [markdown]
# Each cloud is a line seen through a fog. The fog is not noise: it is the other feature.

# %% [markdown]
# ## Five small parts
#
# **Minibatches**: the rows in a fresh random order, ten at a time. **The model**: a weighted sum and a bias. **The
# loss**: half the squared residual; half, so that its slope is the residual itself. **The step**: each parameter moves
# against its gradient. We sum the losses of a batch, so the step divides by the number of rows in it.


# %%
def minibatches(X, y, batch_size, order):
    for start in range(0, len(X), batch_size):
        rows = order[start : start + batch_size]
        yield X[rows], y[rows]


def linreg(X, w, b):
    return X @ w + b


def squared_loss(prediction, y):
    return (y.reshape(prediction.shape) - prediction) ** 2 / 2


def sgd(parameters, lr, batch_size):
    with torch.no_grad():
        for parameter in parameters:
            parameter.sub_(lr * parameter.grad / batch_size)
            parameter.grad.zero_()


# %% [markdown]
# ## The loop
#
# Three epochs: each row is seen three times, in an order that is drawn anew. The weights start near zero, the bias at
# zero. (`shuffled` does what NumPy's `permutation` does, faster.)

# %%
random = np.random.default_rng(0)
w = torch.tensor(random.normal(0, 0.01, 2), requires_grad=True)
b = torch.zeros(1, dtype=torch.float64, requires_grad=True)

losses = []
for epoch in range(1, 4):
    for X_part, y_part in minibatches(X, y, 10, torch.tensor(scratch.shuffled(1_000, random))):
        squared_loss(linreg(X_part, w, b), y_part).sum().backward()
        sgd([w, b], lr=0.03, batch_size=len(X_part))
    with torch.no_grad():
        losses.append(squared_loss(linreg(X, w, b), y).mean().item())
    print(f"epoch {epoch}: mean loss {losses[-1]:.6f}")

by_hand = np.r_[b.detach().numpy(), w.detach().numpy()]

# %% [markdown]
# ## Published beside reproduced
#
# The published run drew other random numbers, so its digits differ. Its sizes should not.

# %%
published = (0.037302, 0.000140, 0.000048)
print(f"{'':26}{'published':>12}{'here':>12}")
for epoch, (theirs, ours) in enumerate(zip(published, losses, strict=True), start=1):
    print(f"mean loss after epoch {epoch}    {theirs:12.6f}{ours:12.6f}")
for name, theirs, ours in zip(("b", "w1", "w2"), (4.2003, 1.9994, -3.4001), by_hand, strict=True):
    print(f"{name:26}{theirs:12.4f}{ours:12.4f}")
for name, true, theirs, ours in zip(("b", "w1", "w2"), (B, *W), (-0.0003, 0.0006, 0.0001), by_hand, strict=True):
    print(f"{'true minus learned ' + name:26}{theirs:12.4f}{true - ours:12.4f}")

assert 0.01 < losses[0] < 0.08
assert 4.3e-5 < losses[2] < 5.7e-5
assert np.allclose(by_hand, [B, *W], atol=0.002)

# %% [markdown]
# ## Why these numbers?
#
# Nothing here is luck. The features have variance 1, so the loss bends equally in all directions, and each step takes
# away the share 0.03 of what is wrong. After an epoch of 100 steps 0.97¹⁰⁰ ≈ 0.048 of the error is left, and of the
# loss the square of that. The loss starts at half the mean of y².
#
# It cannot fall to zero. At the true weights each residual is pure noise, and half of 0.01² is 0.00005.

# %%
first = (y**2).mean().item() / 2
print(f"start {first:.2f}; predicted after epoch 1: {first * 0.97**200:.4f}; in the end: {NOISE**2 / 2:.6f}")
assert 0.3 < losses[0] / (first * 0.97**200) < 3

# %% [markdown]
# ⚠ The program that this comes from has a comment beside its data: noise "0 to 0.001". **Symptom:** a loss that ends
# about a hundred times higher than such noise would allow, however long one trains. **Remedy:** believe the loss. Where
# it ends is half the variance of the noise, so the published 0.000048 says what the standard deviation was.

# %%
print(f"noise of 0.001 would end at {0.001**2 / 2:.7f}; an end at 0.000048 is noise of {np.sqrt(2 * published[2]):.4f}")
assert published[2] > 90 * 0.001**2 / 2
assert abs(np.sqrt(2 * published[2]) / NOISE - 1) < 0.05

# %% [markdown]
# ## The same from `linnet.scratch` and from `linnet.SGD`
#
# `linnet.scratch` is this lesson as a module, one page to read. `linnet.SGD` is the same algorithm compiled. From the
# same seed all of them draw the same start and the same orders, and go through the same weights.

# %%
steps = list(scratch.train(data.X, data.y, lr=0.03, batch_size=10, epochs=3, seed=0))
textbook = {"lr": 0.03, "batch_size": 10, "init": "normal", "seed": 0, "tol": None}
fit = linnet.fit(data.X, data.y, solver=linnet.SGD(epochs=3, **textbook))

ours = np.r_[steps[-1].bias, steps[-1].weights]
print("by hand ", by_hand)
print("scratch ", ours)
print("compiled", fit.coefficients)
assert np.allclose(ours, by_hand, rtol=1e-12)
assert np.allclose(fit.coefficients, by_hand, rtol=1e-12)

# %% [markdown]
# Not only in the end: after every one of the 300 steps.

# %%
objective, source = linnet.Objective(linnet.Squared()), linnet.open_source(data.X, data.y)
compiled = list(linnet.SGD(epochs=3, every=1, **textbook).steps(objective, source))[:300]
assert np.allclose([s.weights for s in compiled], [s.weights for s in steps], rtol=1e-12)
assert np.allclose([s.bias for s in compiled], [s.bias for s in steps], rtol=1e-12)

plt.figure(figures.loss_curve(compiled))
plt.show()

# %% [markdown]
# (`linnet.figures` makes figures that no window knows of. `plt.figure` takes one in, and `plt.show` shows it.)
#
# The straight part on the logarithmic scale is the 0.97 per step, squared: the error keeps 0.97 of itself, the loss
# 0.97² ≈ 0.94. Then the noise takes over: batches differ, and no correction helps.

# %%
fall = np.exp(np.polyfit(range(100), np.log([step.loss for step in compiled[:100]]), 1)[0])
print(f"over the first 100 steps the loss is multiplied by {fall:.3f} a step; 0.97² is {0.97**2:.3f}")
assert abs(fall - 0.97**2) < 0.01

# %% [markdown]
# ## Do five epochs help?
#
# Some versions of the experiment run five epochs. The loss of the third is already that of the noise.

# %%
five = list(linnet.SGD(epochs=5, **textbook).steps(objective, source))[:5]
losses = [objective.of(source, step.weights, step.bias) for step in five]
exact = linnet.fit(data.X, data.y)
for step, loss in zip(five, losses, strict=True):
    print(f"epoch {step.epoch}: mean loss {loss:.8f}")
print(f"the least there is: {exact.objective:.8f}")
assert losses[4] / losses[2] > 0.97
assert 1 <= losses[4] / exact.objective < 1.03

# %% [markdown]
# Two more epochs gain next to nothing. What is left was never in the weights.

# %% [markdown]
# ## Reading a gradient
#
# What does `.grad` hold? One number for each weight, the slope: by how much the loss grows per unit, if this weight
# grows by very little. For the squared loss it can be written down: the mean of −r·x, where r is the residual.

# %%
torch.manual_seed(0)
net = torch.nn.Linear(2, 1, dtype=torch.float64)
assert net.weight.grad is None  # before the first backward there is none
rows = slice(0, 10)
squared_loss(net(X[rows]), y[rows]).mean().backward()

with torch.no_grad():
    r = y[rows] - net(X[rows])[:, 0]
    expected = -(r[:, None] * X[rows]).mean(dim=0)
print("net.weight.grad", net.weight.grad.numpy()[0], " shape", tuple(net.weight.grad.shape))
print("mean of -r·x   ", expected.numpy())
print("net.bias.grad  ", net.bias.grad.numpy(), " mean of -r", -r.mean().item())
assert torch.allclose(net.weight.grad[0], expected, rtol=1e-12)
assert torch.allclose(net.bias.grad, -r.mean(), rtol=1e-12)

# %% [markdown]
# "Very little" matters, since the loss bends. Move the first weight and see:

# %%
with torch.no_grad():
    here = squared_loss(net(X[rows]), y[rows]).mean().item()
    for much in (1.0, 0.1, 0.001, 0.00001):
        u = net.weight[0] + torch.tensor([much, 0.0], dtype=torch.float64)
        slope = (squared_loss(linreg(X[rows], u, net.bias), y[rows]).mean().item() - here) / much
        print(f"{much:8}: the loss grows by {slope:.4f} per unit; the gradient is {net.weight.grad[0, 0].item():.4f}")
assert abs(slope - net.weight.grad[0, 0].item()) < 1e-4

# %% [markdown]
# ⚠ A second `backward` does not replace the gradient, it adds to it. **Symptom:** the gradient doubles, the steps grow,
# the weights swing. **Remedy:** zero it after each step, as `sgd` above does.

# %%
once = net.weight.grad.clone()
squared_loss(net(X[rows]), y[rows]).mean().backward()
assert torch.allclose(net.weight.grad, 2 * once)

# %% [markdown]
# ## May the weights start at zero?
#
# Here, yes. The loss of a linear model is a bowl, and a bowl has one bottom, wherever one begins.

# %%
starts = {"near zero": None, "zero": ([0.0, 0.0], 0.0), "far off": ([-4.0, 5.0], 0.0)}
runs = [list(scratch.train(data.X, data.y, start=start)) for start in starts.values()]
for label, run in zip(starts, runs, strict=True):
    print(f"from {label:10} w = {run[-1].weights.round(4)}, b = {run[-1].bias:.4f}")
    assert np.allclose([run[-1].bias, *run[-1].weights], [B, *W], atol=0.002)

plt.figure(figures.path(runs, data.X, data.y, labels=list(starts)))
plt.show()

# %% [markdown]
# With a hidden layer it is different. Below, four hidden units feed one output. If all weights are zero, the hidden
# units give 0, so the output's weights get no gradient; and since those are zero, nothing reaches the hidden ones.


# %%
def learn_hidden(start, steps=200):
    """Four tanh units and an output, all weights and biases at `start`; the weights and bias of each layer, learned."""
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, start)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        squared_loss(net(X[:100]), y[:100]).mean().backward()
        optimiser.step()
    return [parameter.detach().numpy() for parameter in net.parameters()]


hidden, hidden_bias, outer, bias = learn_hidden(0.0)
print(f"from 0: hidden weights\n{hidden}\noutput's weights {outer[0]}, its bias {bias[0]:.3f}")
print(f"mean of y over these rows: {y[:100].mean():.3f}")
assert not hidden.any()
assert not hidden_bias.any()
assert not outer.any()
assert np.isclose(bias[0], y[:100].mean(), rtol=1e-3)

hidden = learn_hidden(0.5)[0]
print(f"from 0.5: hidden weights\n{hidden.round(4)}")
assert np.allclose(hidden, hidden[0])
assert not np.allclose(hidden[0], 0.5)

# %% [markdown]
# **Symptom:** from zero only the output's bias moves, to the mean of y, the best that can be done without looking at
# the features. From any other common value the units move, but all in the same way: four units that count as one.
# **Remedy:** start hidden layers at random. That is what breaks the tie.

# %% [markdown]
# ## What to remember
#
# - Predict, measure, differentiate, step. Each epoch repeats this for every batch.
# - For features of variance 1, a step takes away the share *lr* of the error: a run can be predicted.
# - The loss ends at half the variance of the noise, not at zero. Longer training does not change that.
# - A gradient is the mean of −r·x. It is added to, so it must be cleared.
# - A linear model may start at zero, hidden layers may not.
