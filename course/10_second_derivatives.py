# %% [markdown]
# # 10. Second derivatives
#
# The first derivative says which way is down. The second says how far one may go. This lesson takes both from
# automatic differentiation, on y = x³ where they are known, shows the two mistakes that everybody makes once, and then
# uses second derivatives for what they are good for here: the largest learning rate, and a step that needs none.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import linnet
from linnet import figures, scratch

# %% [markdown]
# ## y = x³
#
# Published: dy = 3x² and d²y = 6x. `create_graph=True` asks autograd to record how the first derivative was computed,
# so that it can be differentiated in turn.

# %%
x = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
y = x**3
(dy,) = torch.autograd.grad(y.sum(), x, create_graph=True)
(d2y,) = torch.autograd.grad(dy.sum(), x)

print(f"{'x':>6}{'dy published':>14}{'reproduced':>12}{'d²y published':>15}{'reproduced':>12}")
for i in (0, 10, 15, 25, 40):
    a = x[i].item()
    print(f"{a:6.2f}{3 * a**2:14.4f}{dy[i].item():12.4f}{6 * a:15.4f}{d2y[i].item():12.4f}")
assert torch.allclose(dy, 3 * x**2, atol=1e-14)
assert torch.allclose(d2y, 6 * x, atol=1e-14)

# %% [markdown]
# The sum before the derivative is a small trick: each yᵢ depends on its own xᵢ only, so the gradient of the sum holds
# all 41 derivatives at once.
#
# From scratch, without autograd, a derivative is a difference over a short distance. It is a good check, and a poor
# method: make the distance h small and rounding takes over, for the second derivative long before the first.

# %%
points = x.detach()
h = 10.0 ** np.arange(-7, 0.5, 0.5)


def cube(x):
    return x**3


first = [((cube(points + s) - cube(points - s)) / (2 * s) - 3 * points**2).abs().max().item() for s in h]
second = [((cube(points + s) - 2 * y + cube(points - s)) / s**2 - 6 * points).abs().max().item() for s in h]

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
for values, label in ((y, "y = x³"), (dy, "dy = 3x²"), (d2y, "d²y = 6x")):
    left.plot(points, values.detach(), ".-", markersize=4, linewidth=1, label=label)
left.set(xlabel="x", ylabel="value", title="By autograd")
left.legend(frameon=False)
right.loglog(h, first, "o-", markersize=4, label="first derivative")
right.loglog(h, second, "o-", markersize=4, label="second derivative")
right.set(xlabel="distance h", ylabel="largest error", title="By differences")
right.legend(frameon=False)
plt.show()

assert min(first) < 1e-8
assert second[0] > 1e-3
assert second[0] > 1e3 * first[0]

# %% [markdown]
# The first derivative is best at a distance near 10⁻⁵, where the error of the method and that of rounding meet. For the
# second derivative of a cubic the method itself happens to be exact, so that only rounding is left, and it grows as
# 1/h². Autograd has no h.

# %% [markdown]
# ## ⚠ Without create_graph
#
# **Symptom:** an error that speaks of a tensor without `grad_fn`. **Cause:** the first derivative came out as plain
# numbers; how they came about was forgotten. **Remedy:** `create_graph=True` in the first call.

# %%
x = torch.tensor(1.5, requires_grad=True)
(dy,) = torch.autograd.grad(x**3, x)
try:
    torch.autograd.grad(dy, x)
except RuntimeError as error:
    complaint = str(error)
print(complaint)
assert "does not require grad" in complaint

# %% [markdown]
# ## ⚠ backward() twice
#
# `backward` adds to what is already in `.grad`. This one raises no error. **Symptom:** the second derivative comes out
# as 3x² + 6x. **Remedy:** empty `.grad` in between, or call `torch.autograd.grad`, which returns the derivative instead
# of storing it.

# %%
x = torch.tensor(1.5, requires_grad=True)
(dy,) = torch.autograd.grad(x**3, x, create_graph=True)
dy.backward(retain_graph=True)
right_value = x.grad.item()
x.grad = dy.detach().clone()  # as a first backward() would have left it
dy.backward()
print(f"d²y = {right_value}, with the old gradient still there {x.grad.item()}")
assert right_value == 6 * 1.5
assert x.grad.item() == 3 * 1.5**2 + 6 * 1.5

# %% [markdown]
# ## The second derivative of a loss
#
# Now the loss of a linear model, as a function of two weights and a bias. Its second derivatives form a 3 × 3 matrix,
# the Hessian. For squared loss it does not depend on the weights at all: it is the mean of z·zᵀ over the rows
# z = (1, x₁, x₂).
#
# Linnet's losses know their second derivative by the residual, `curvature`; for any loss the Hessian is the mean of
# curvature · z·zᵀ. Autograd must agree.

# %%
data = linnet.simulate([2, -3.4], bias=4.2, rows=1_000, noise=0.01)
Z = np.column_stack([np.ones(1_000), data.X])
rows, target = torch.tensor(Z), torch.tensor(data.y)


def mean_loss(loss):
    return lambda u: loss(rows @ u, target).mean()


at = torch.tensor([4.0, 1.5, -3.0], dtype=torch.float64)
residuals = data.y - Z @ at.numpy()
for ours, theirs in ((linnet.Squared(), scratch.squared), (linnet.Huber(delta=1.0), scratch.huber)):
    by_autograd = torch.autograd.functional.hessian(mean_loss(theirs), at).numpy()
    by_hand = (Z.T * ours.curvature(residuals)) @ Z / len(Z)
    print(f"{ours.name}\n{by_autograd.round(4)}")
    assert np.allclose(by_autograd, by_hand, atol=1e-12)

# %% [markdown]
# Huber's Hessian is the smaller one: rows whose residual is beyond δ lie on a straight piece of the loss and have no
# curvature.
#
# ## How far one may go
#
# Along an eigenvector of the Hessian with eigenvalue λ, a step of gradient descent multiplies the error by 1 − lr·λ.
# That shrinks it while lr < 2/λ. The largest eigenvalue decides.

# %%
hessian = Z.T @ Z / len(Z)
eigenvalues, directions = np.linalg.eigh(hessian)
limit = 2 / eigenvalues[-1]
print(f"eigenvalues {eigenvalues.round(4)}, largest stable learning rate {limit:.4f}")


def descend(lr, steps=60):
    """The Steps of full-batch gradient descent from zero: one batch of all rows, in their own order."""
    everything = {"batch_size": 1_000, "epochs": steps, "order": lambda _: range(1_000)}
    return list(scratch.train(data.X, data.y, lr=lr, start=([0, 0], 0), **everything))


exact = linnet.fit(data.X, data.y)
shares = (0.1, 0.5, 0.98, 1.02)
runs = {share: descend(share * limit) for share in shares}
labels = [f"{share:.2f} · 2/λ" for share in shares]
plt.figure(figures.loss_curve(*runs.values(), labels=labels, optimum=exact.objective))
plt.show()

# %% [markdown]
# Half of the limit, which is 1/λ, is there after five steps. At the limit the part of the error that lies along the
# steepest direction changes sign at every step and keeps its size. Just below, at 0.98, a step multiplies it by
# 1 − 2 · 0.98 = −0.96, so that 60 steps leave a twelfth of it, and less than a hundredth of the loss, which is its
# square. Just above, at 1.02, the factor is −1.04, and it grows.

# %%
for share in (0.98, 1.02):
    weights = np.array([[step.bias, *step.weights] for step in runs[share]])
    part = (weights - exact.coefficients) @ directions[:, -1]
    print(f"{share} · 2/λ: steepest part {part[0]:.3f}, {part[1]:.3f}, {part[2]:.3f}, …, {part[-1]:.3f}", end="; ")
    print(f"from step to step times {np.median(part[1:] / part[:-1]):.3f}")
    assert np.allclose(part[1:] / part[:-1], 1 - 2 * share, rtol=1e-6)
assert runs[0.98][-1].loss < 0.01 * runs[0.98][0].loss
assert runs[1.02][-1].loss > 10 * runs[1.02][10].loss
assert runs[0.5][-1].loss < 1.01 * exact.objective

# %% [markdown]
# Linnet computes the same λ when a run diverges, and says so; with `lr="auto"` it uses it beforehand.

# %%
too_large = linnet.SGD(lr=1.5 * limit, batch_size=1_000, epochs=60, tol=None)
fit = linnet.fit(data.X, data.y, solver=too_large)
print(fit.status.text)
print(*fit.notes, sep="\n")
assert fit.status is linnet.Status.DIVERGED
assert f"{limit:.3g}" in fit.notes[0]

# %% [markdown]
# ## A step that needs no learning rate
#
# Divide the gradient by the second derivative instead of multiplying it by a learning rate: u − H⁻¹g. That is Newton's
# step. Squared loss is a parabola, and on a parabola one Newton step from anywhere ends at the lowest point. It is
# therefore the exact solution, and `linnet.fit` must give the same.

# %%
u = torch.tensor([100.0, -50.0, 7.0], dtype=torch.float64, requires_grad=True)
loss = mean_loss(scratch.squared)
(gradient,) = torch.autograd.grad(loss(u), u)
newton = (u - torch.linalg.solve(torch.autograd.functional.hessian(loss, u), gradient)).detach().numpy()
print(f"one Newton step   {newton}")
print(f"linnet.fit        {exact.coefficients}")
assert np.allclose(newton, exact.coefficients, rtol=1e-10)

# %% [markdown]
# ## What to remember
#
# - `create_graph=True` when a derivative is itself to be differentiated.
# - `backward` adds, `torch.autograd.grad` returns.
# - The largest second derivative bounds the learning rate: below 2/λ.
# - For a parabola the second derivative makes one step enough. That is why least squares has a formula.
