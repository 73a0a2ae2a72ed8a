# %% [markdown]
# # 2. The same in few words, and two factors that hide in them
#
# torch has a part for each line that the first lesson wrote by hand. Put together, they are shorter, and they hide two
# decisions: whether a batch's losses are added or averaged, and whether the loss is r² or half of it. Either moves the
# learning rate by a factor, and a program says nothing about it.
#
# The lesson writes the concise version, finds that it learns twice as fast as ours at the same learning rate, says why,
# and ends with a rule for carrying a learning rate from one program to another.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import linnet
from linnet import concise, scratch

W, B = [2.0, -3.4], 4.2
truth = np.array([B, *W])
data = linnet.simulate(W, B, rows=1_000, noise=0.01, seed=2)
X, y = torch.tensor(data.X), torch.tensor(data.y)[:, None]  # (1000, 2) and (1000, 1)

# %% [markdown]
# ## With torch's own parts
#
# `TensorDataset` and `DataLoader` cut minibatches, `nn.Linear` is the model, `nn.MSELoss` the loss and
# `torch.optim.SGD` the step. Weights from N(0, 0.01), bias 0, learning rate 0.03, batches of 10, as in lesson 1.


# %%
def learn(X, y, epochs, loss, lr, batch_size=10):
    """The mean of r²/2 over all rows before the first epoch and after each, and the net."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 1, dtype=torch.float64))
    nn.init.normal_(net[0].weight, std=0.01)
    nn.init.zeros_(net[0].bias)
    optimiser = torch.optim.SGD(net.parameters(), lr=lr)
    loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
    losses = []
    for epoch in range(epochs + 1):
        with torch.no_grad():
            losses.append(((y - net(X)) ** 2 / 2).mean().item())
        if epoch == epochs:
            break
        for X_part, y_part in loader:
            optimiser.zero_grad()
            loss(net(X_part), y_part).backward()
            optimiser.step()
    return np.array(losses), net


def learned(net):
    """[bias, weights]."""
    return np.r_[net[0].bias.detach().numpy(), net[0].weight.detach().numpy()[0]]


losses, net = learn(X, y, epochs=3, loss=nn.MSELoss(), lr=0.03)
print(net)
for epoch, loss in enumerate(losses):
    print(f"after epoch {epoch}: mean of r²/2 {loss:.6f}")
print("bias and weights", learned(net).round(4), " errors", (learned(net) - truth).round(4))
assert np.allclose(learned(net), truth, atol=0.003)
assert 4.3e-5 < losses[3] < 5.7e-5

# %% [markdown]
# And once more with 100 rows and 5 epochs, as the experiment was also published. Fifty steps instead of three hundred:
# there is less time and less data.

# %%
few, small = learn(X[:100], y[:100], epochs=5, loss=nn.MSELoss(), lr=0.03)
for epoch, loss in enumerate(few):
    print(f"100 rows, after epoch {epoch}: mean of r²/2 {loss:.6f}")
print("bias and weights", learned(small).round(3), " errors", (learned(small) - truth).round(3))
assert few[5] > 20 * losses[3]
assert 0.001 < np.abs(learned(small) - truth).max() < 0.7

# %% [markdown]
# No figures were published for either. The sizes follow from the first lesson's rule: a step takes away a fixed share
# of the error. But which share?

# %% [markdown]
# ## Half a square, or a whole one
#
# `nn.MSELoss` is the mean of r²; our loss is the mean of r²/2. Same bottom, but the slope is 2r instead of r: every
# step is twice as long. So a step takes 0.06 of the error away, not 0.03, and after one epoch 0.94¹⁰⁰ of it is left,
# and of the loss the square of that; beside the 0.00005 that the noise always costs.


# %%
def half(prediction, y):
    return ((y - prediction) ** 2 / 2).mean()


halved, _ = learn(X, y, epochs=3, loss=half, lr=0.03)
print(f"{'loss':>8} {'lr':>6} {'predicted after epoch 1':>26} {'found':>12}")
for name, per_step, found in (("r²/2", 0.03, halved), ("r²", 0.06, losses)):
    print(f"{name:>8} {0.03:6} {found[0] * (1 - per_step) ** 200 + 0.00005:26.6f} {found[1]:12.6f}")
assert halved[1] > 50 * losses[1]
assert 0.3 < halved[1] / (halved[0] * 0.97**200) < 3

# %% [markdown]
# ⚠ **Symptom:** two programs with "the same" learning rate run at different speeds, and a rate that is stable in one
# explodes in the other. **Remedy:** with r², use half the learning rate.

# %%
same, _ = learn(X, y, epochs=3, loss=nn.MSELoss(), lr=0.015)
assert np.allclose(same, halved, rtol=1e-9)
print("MSELoss with lr 0.015, and r²/2 with lr 0.03: the same losses", same.round(6))

# %% [markdown]
# ## Sum or mean?
#
# The other decision is `reduction`. `nn.MSELoss()` averages over the batch; `reduction="sum"` adds. The sum's gradient
# is as many times longer as there are rows in the batch.
#
# The published exercise asks how the learning rate must change when a mean replaces the sum, and answers "divide it by
# the batch size". ⚠ That is half an answer. It depends on which side you come from:
#
# - the rate for the **sum** is known: for the mean, **multiply** it by the batch size;
# - the rate for the **mean** is known: for the sum, **divide** it by the batch size.

# %%
total = nn.MSELoss(reduction="sum")
runs = {
    "mean, lr 0.03": learn(X, y, 3, nn.MSELoss(), 0.03)[0],
    "sum, lr 0.003 = 0.03/10: divided, right": learn(X, y, 3, total, 0.003)[0],
    "mean, lr 0.003: divided from the wrong side": learn(X, y, 3, nn.MSELoss(), 0.003)[0],
    "sum, lr 0.03: not divided": learn(X, y, 3, total, 0.03)[0],
}
figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
for (label, run), style in zip(runs.items(), ("o-", "x--", "s-", "^-"), strict=True):
    axes.semilogy(range(4), run, style, label=label)
axes.set(xlabel="epoch", ylabel="mean of r²/2", title="Sum, mean, and the learning rate", xticks=range(4))
axes.legend(frameon=False, fontsize=9)
plt.show()

for label, run in runs.items():
    print(f"{label:46} {run[3]:12.6f}")
right, divided, slow, hasty = runs.values()
assert np.allclose(divided, right, rtol=1e-9)
assert slow[3] > 100 * right[3]
assert hasty[3] > 1.05 * right[3]

# %% [markdown]
# Two curves coincide, as they must. The third crawls: three epochs do what a third of one did before. The last one is
# fast at first, and then stays above the others: steps of 0.6 keep the weights in unrest. With batches of 100 rows it
# would explode.
#
# **Remedy:** take the mean, and write down which loss a learning rate belongs to. In one line:
#
# | loss of a batch | learning rate for the same steps |
# |---|---|
# | mean of r²/2 (Linnet, `scratch`, `concise`) | lr |
# | mean of r² (`nn.MSELoss`) | lr / 2 |
# | sum of r²/2, step lr/batch (lesson 1) | lr |
# | sum of r²/2 | lr / batch |
# | sum of r² (`MSELoss(reduction="sum")`) | lr / (2 · batch) |

# %% [markdown]
# ## `linnet.concise`, and Linnet itself
#
# `linnet.concise` is this lesson as a module. It takes the mean of r²/2, so its learning rates are those of
# `linnet.scratch` and of `linnet.SGD`, and all three go through the same weights.

# %%
by_parts = list(concise.train(data.X, data.y, lr=0.03, batch_size=10, epochs=3))
by_hand = list(scratch.train(data.X, data.y, lr=0.03, batch_size=10, epochs=3))
assert np.allclose([s.weights for s in by_parts], [s.weights for s in by_hand], rtol=1e-11)

fit = linnet.fit(data.X, data.y, solver=linnet.SGD(lr=0.03, batch_size=10, epochs=3, init="normal", tol=None))
assert np.allclose(fit.weights, by_hand[-1].weights, rtol=1e-11)
print("concise", by_parts[-1].weights, "\nscratch", by_hand[-1].weights, "\nLinnet ", fit.weights)

# %% [markdown]
# To repeat the published run, which had `MSELoss` and 0.03, give Linnet the rate that the table says: 0.06.

# %%
objective, source = linnet.Objective(linnet.Squared()), linnet.open_source(data.X, data.y)
solver = linnet.SGD(lr=0.06, batch_size=10, epochs=3, init="normal", tol=None)
repeated = [objective.of(source, s.weights, s.bias) for s in list(solver.steps(objective, source))[:3]]
print("MSELoss, lr 0.03 ", losses[1:].round(6))
print("Linnet, lr 0.06  ", np.round(repeated, 6))
assert 0.2 < repeated[0] / losses[1] < 5
assert np.isclose(repeated[2], losses[3], rtol=0.03)

# %% [markdown]
# After one epoch they differ by their random orders; after three both are at the noise.
#
# ## What to remember
#
# - A learning rate belongs to a loss. r² wants half the rate of r²/2.
# - From sum to mean, multiply by the batch size; from mean to sum, divide.
# - Average. Then a learning rate means the same for every batch size, also for a short last batch.
