# %% [markdown]
# # 8. Ohm's law: learning a resistance
#
# A resistor lets a current I pass when a voltage U lies across it, and U = R·I. We are given 1,000 pairs of readings
# and want R. This is linear regression with one feature, and both learned numbers mean something: the weight is the
# resistance in ohms, the bias is what the voltmeter shows when no current flows.
#
# The lesson learns both by gradient descent, asks how long that had to run, reads the bias as a physicist would, and
# then changes the unit of the current, which a formula would not mind. Gradient descent does.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

import linnet
from linnet import scratch

# %% [markdown]
# ## The readings
#
# Currents from N(0, 1) amperes, a resistance of 20 Ω, a voltmeter that reads 0.01 V too high, and noise of 0.01 V.

# %%
OHMS, OFFSET, NOISE = 20.0, 0.01, 0.01
data = linnet.simulate([OHMS], bias=OFFSET, rows=1_000, noise=NOISE, seed=8)
current, voltage = data.X, data.y  # (1000, 1) and (1000,)

# %% [markdown]
# ## From scratch
#
# As in the first lesson: squared loss, batches of 10, learning rate 0.03. The resistance starts at a draw from
# N(0, 0.01), and there are 10 epochs.

# %%
steps = list(scratch.train(current, voltage, lr=0.03, batch_size=10, epochs=10, seed=0))
resistance = np.array([step.weights[0] for step in steps])
print(f"R = {resistance[-1]:.4f} Ω, offset {steps[-1].bias:.4f} V after {len(steps):,} steps")
assert abs(resistance[-1] - OHMS) < 0.0025
assert abs(steps[-1].bias - OFFSET) < 0.0025

# %% [markdown]
# No figure was published for this experiment, so the truth that made the data is what we compare with: 20 Ω and 0.01 V.
# The bounds are six times what theory lets the last weights vary: 0.01/√1000 V from the noise in the data, and three
# quarters as much from the steps themselves, as we are about to see.
#
# ## How long did it have to run?
#
# The curvature of the loss along R is the mean of I², which is 1. A step therefore takes away the share 0.03 of the
# error, and after k steps R·0.97ᵏ of it is left. That falls until it meets the unrest that minibatches keep up: each
# step is a little wrong, by the noise of its ten rows. Were the ten drawn afresh from all rows each time, R would stir
# by √(lr / 2·batch) times the noise. But an epoch takes every row once, so that what one batch does wrong the others
# take back in part. That leaves three quarters of it (lesson 13 says why).

# %%
k = np.arange(1, len(steps) + 1)
drawn_afresh = math.sqrt(0.03 / (2 * 10)) * NOISE
epoch = 0.03 * 1_000 / 10  # lr · steps in an epoch
unrest = NOISE / math.sqrt(1_000) * math.sqrt(epoch / 2 - 1 + (1 - math.exp(-epoch)) / epoch)
predicted = OHMS * 0.97**k
exact = linnet.fit(current, voltage)

figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
axes.semilogy(k, np.abs(resistance - OHMS), label="learned", linewidth=1)
axes.semilogy(k, predicted, "--", label=f"{OHMS:g} · 0.97ᵏ")
axes.axhline(unrest, color="0.5", linestyle=":", label="unrest of constant steps")
axes.set(xlabel="step k", ylabel=f"|R − {OHMS:g}| (Ω)", title="An exponential, then noise", ylim=(1e-6, 1.5 * OHMS))
axes.legend(frameon=False)
plt.show()

enough = math.ceil(math.log(OHMS / unrest) / -math.log(0.97))
print(f"the two meet after {enough} steps: {enough / 100:.1f} epochs")
assert abs(resistance[99] / OHMS - 1 + 0.97**100) < 0.05
found = np.sqrt(np.mean((resistance[500:] - exact.weights[0]) ** 2))
print(f"unrest predicted {unrest:.6f} Ω, found {found:.6f} Ω; rows drawn afresh {drawn_afresh:.6f} Ω")
assert 0.75 < found / unrest < 1.3
assert np.abs(resistance[400:] - exact.weights[0]).max() < 0.001

# %% [markdown]
# Four epochs would have done. The other six move R back and forth by some tenths of a milliohm; they cost time and
# improve nothing. Lesson 13 makes a rule of this.

# %% [markdown]
# ## With Linnet
#
# The same learning, compiled; and the exact answer.

# %%
sgd = linnet.fit(
    current, voltage, solver=linnet.SGD(lr=0.03, batch_size=10, epochs=10, init="normal", seed=0, tol=None)
)
assert np.allclose(sgd.weights, resistance[-1], rtol=1e-10)

print(f"learned  R = {sgd.weights[0]:.5f} Ω, {abs(sgd.distance[1]):.2f} standard errors from the exact answer")
print(exact)

# %% [markdown]
# ## Is the voltmeter off?
#
# Ohm's law has no intercept. The readings do, and the table above says whether that can be chance: the standard error
# is about 0.01 V / √1000 = 0.0003 V, the bias thirty times that. The meter is off by a hundredth of a volt.
#
# The standard error is what decides. From the bias alone, 0.01 beside a weight a thousand times as large and more, one
# would have thought it negligible.

# %%
low, high = exact.interval(0.95)[0]
print(f"offset {exact.bias * 1e3:.2f} mV, 95 % interval from {low * 1e3:.2f} to {high * 1e3:.2f} mV")
assert low < OFFSET < high
assert low > 0
through_zero = linnet.fit(current, voltage, intercept=False)
print(f"residual sd with an offset {exact.residual_sd * 1e3:.2f} mV, without {through_zero.residual_sd * 1e3:.2f} mV")
assert through_zero.residual_sd > 1.3 * exact.residual_sd

# %%
figure, (above, below) = plt.subplots(2, 1, figsize=(7, 5.5), sharex=True, layout="constrained", height_ratios=[3, 2])
above.plot(current[:, 0], voltage, ".", color="0.6", markersize=3, label="readings")
above.plot([-3.5, 3.5], exact.predict([[-3.5], [3.5]]), label="fit")
above.set(ylabel="U (V)", title=f"U = {exact.weights[0]:.3f} Ω · I + {exact.bias:.4f} V")
above.legend(frameon=False)
below.plot(current[:, 0], (voltage - through_zero.predict(current)) * 1e3, ".", color="0.6", markersize=3)
below.axhline(0, color="C0", linestyle="--", label="a law through zero")
below.axhline(exact.bias * 1e3, color="C1", label="offset")
below.set(xlabel="I (A)", ylabel="U − R·I (mV)")
below.legend(frameon=False, loc="upper right")
plt.show()

# %% [markdown]
# In the upper panel nothing is to be seen: the noise is a two-thousandth of the voltage. Subtract the law, and the
# offset is plain. Always look at the residuals.

# %% [markdown]
# ## ⚠ The learning rate has units
#
# Write the same currents in milliamperes. The law does not change, R is merely 0.020 V per mA. But the curvature, the
# mean of I², is now a million, and steps are stable only below 2 divided by it.

# %%
milliamperes = 1_000 * current
steps = list(scratch.train(milliamperes, voltage, lr=0.03, batch_size=10, epochs=1, seed=0))
print("R after steps 1, 2, 3:", *(f"{step.weights[0]:.3g}" for step in steps[:3]), "V/mA; the truth is 0.020")
print(f"at the end of the epoch: {steps[-1].weights[0]}")
assert not np.isfinite(steps[-1].weights[0])

# %% [markdown]
# **Symptom:** weights that change sign at every step and grow by a constant factor, then `inf`, then `nan`.
# **Remedy:** bring the columns to a common size, or let Linnet do it. Linnet stops such a run within its first epoch,
# keeps finite weights, and says what would have been stable. (`every=1` shows it to us after each minibatch.)

# %%
looks = []
solver = linnet.SGD(lr=0.03, batch_size=10, epochs=10, tol=None, every=1)
wild = linnet.fit(milliamperes, voltage, solver=solver, progress=looks.append)
went = [step for step in looks if step.status is None]  # all but the last, which tells how it ended
print(wild.status.text)
print(*wild.notes, sep="\n")
assert wild.status is linnet.Status.DIVERGED
assert went
assert all(step.epoch == 1 and step.rows < 1_000 for step in went)
assert np.isfinite(wild.weights).all()

# %%
calm = linnet.fit(milliamperes, voltage, solver=linnet.SGD())  # lr="auto"
print(f"{1_000 * calm.weights[0]:.4f} Ω in {calm.settings['epochs']} epochs: {calm.status.text}")
assert calm.status is linnet.Status.CONVERGED
assert np.isclose(1_000 * calm.weights[0], exact.weights[0], atol=0.06 * exact.std_errors[0])

# %% [markdown]
# ## What to remember
#
# - The share of the error that a step removes is learning rate × curvature. So you know how long it takes.
# - Under constant steps the weights never come to rest. Drawn afresh, rows make them stir by √(lr / 2·batch) times the
#   noise; shuffled ones by less.
# - Judge a weight by its standard error, not by its size.
# - A learning rate belongs to the units of the columns.
