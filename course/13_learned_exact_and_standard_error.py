# %% [markdown]
# # 13. Learned, exact, and the standard error
#
# Gradient descent comes near the exact answer and never quite arrives. How near is near enough? Not "until the loss
# stops moving", and not "to six digits". There is a natural measure, and it comes from the data: the standard error.
#
# Three numbers belong together. The **learned** weight is where the run stopped. The **exact** one minimises the same
# loss on the same rows. The **standard error** says how far the exact one itself would move if we had drawn other rows
# from the same world. A distance much smaller than that means nothing to anybody.

# %%
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
from sklearn.datasets import load_diabetes

import linnet
from linnet import figures, scratch

# %% [markdown]
# ## From scratch, with a ruler beside it
#
# The data of the first lesson, 20 epochs instead of 3. After every step we ask how far the weights are from the exact
# ones, in standard errors, and take the worst of the three. One run draws each batch afresh from all rows, so that a
# row may come twice in an epoch and another not at all. The others shuffle, as usual: every row comes once.

# %%
data = linnet.simulate([2, -3.4], bias=4.2, rows=1_000, noise=0.01, seed=13)
exact = linnet.fit(data.X, data.y)
errors = np.r_[exact.bias_std_error, exact.std_errors]


def distances(steps, exact=exact):
    """For each step, the largest distance of [bias, weights] from the exact ones in standard errors."""
    ruler = np.r_[exact.bias_std_error, exact.std_errors]
    return np.array([np.abs((np.r_[step.bias, step.weights] - exact.coefficients) / ruler).max() for step in steps])


def afresh(epoch):
    return np.random.default_rng(epoch).integers(1_000, size=1_000)


runs = {
    "lr 0.03, drawn afresh": list(scratch.train(data.X, data.y, lr=0.03, epochs=20, order=afresh)),
    "lr 0.03": list(scratch.train(data.X, data.y, lr=0.03, epochs=20)),
    "lr 0.003": list(scratch.train(data.X, data.y, lr=0.003, epochs=20)),
    "falling as 1/t": list(scratch.train(data.X, data.y, schedule="inverse-time", decay=0.3, epochs=20)),
}

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
for label, steps in runs.items():
    axes.semilogy(np.arange(1, len(steps) + 1) / 100, distances(steps), linewidth=0.9, label=label)
axes.axhline(np.sqrt(0.03 * 1_000 / (2 * 10)), color="0.4", linestyle=":", label="√(lr · n / 2·batch)")
axes.axhline(0.05, color="0.4", linestyle="--", label="5 % of a standard error")
axes.set(xlabel="epoch", ylabel="largest distance (standard errors)", title="From learned to exact", ylim=(0.01, 1e7))
axes.legend(frameon=False, ncols=2)
plt.show()

# %% [markdown]
# With a constant learning rate the distance falls and then stops falling. Each step is wrong by the noise of its ten
# rows, and that keeps the weights in motion. Where each batch is **drawn afresh**, every weight has the variance
# lr·σ²/(2·batch), while the standard error squared is σ²/n. The ratio of the two does not contain the noise. It is the
# dotted line, typical of one weight; the curves are the worst of three.
#
# $$\text{floor} = \sqrt{\frac{k}{2}}\ \text{standard errors},\qquad k = \frac{\text{lr} \cdot n}{\text{batch}}$$
#
# Here k is the learning rate times the steps of an epoch, in which the weights forget all but e⁻ᵏ of where they were.
#
# **Shuffling** is better than that. At the exact weights the gradients of all rows add up to zero, and an epoch takes
# each row once: what its first batches do wrong its last ones take back, but for what has been forgotten in between.
# Where such noise pushes errors that shrink by 1 − lr a step, the floor at the *end* of an epoch works out as
#
# $$\text{floor} = \sqrt{\frac{k}{2} - \tanh\frac{k}{2}}\ \text{standard errors}$$
#
# and in the course of an epoch it is higher, on average √(k/2 − 1 + (1 − e⁻ᵏ)/k). The shorter an epoch, the more that
# helps: for small k its end is at √(k³/24) instead of √(k/2). All this is for features of variance 1 and small learning
# rates. Does it hold? For each line below 20 data sets, and over them, the three weights and the ends of 90 epochs the
# root of the mean square.


# %%
def squares(steps, exact):
    """Squared distance of [bias, weights] from the exact ones, in standard errors: shape (steps, 3)."""
    ruler = np.r_[exact.bias_std_error, exact.std_errors]
    return np.square((np.array([[step.bias, *step.weights] for step in steps]) - exact.coefficients) / ruler)


found = np.sqrt(squares(runs["lr 0.03, drawn afresh"][1_000:], exact).mean())
print(f"drawn afresh: 1,000 rows, lr 0.03, k 3.0, floor foretold {np.sqrt(3 / 2):.3f}, found {found:.3f}")
assert 0.85 < found / np.sqrt(3 / 2) < 1.15

for rows, lr in ((1_000, 0.03), (1_000, 0.003), (200, 0.03)):
    ends = []
    for seed in range(20):
        sample = linnet.simulate([2, -3.4], bias=4.2, rows=rows, noise=0.01, seed=seed)
        solved, source = linnet.fit(sample.X, sample.y), linnet.open_source(sample.X, sample.y)
        there = tuple(solved.coefficients)  # nothing of the start is to be forgotten
        solver = linnet.SGD(lr=lr, batch_size=10, epochs=100, start=there, tol=None, every=rows // 10)
        ends.append(squares(list(solver.steps(linnet.Objective(linnet.Squared()), source))[10:100], solved))
    found, k = np.sqrt(np.mean(ends)), lr * rows / 10
    floor = np.sqrt(k / 2 - np.tanh(k / 2))
    print(f"shuffled:     {rows:5,} rows, lr {lr}, k {k:.1f}, floor foretold {floor:.3f}, found {found:.3f}")
    assert 0.9 < found / floor < 1.1

falling = distances(runs["falling as 1/t"])
assert falling[-1] < distances(runs["lr 0.03"])[-1_000:].mean()

# %% [markdown]
# So the textbook's SGD, once it has forgotten its start, ends **about three quarters of a standard error from the exact
# answer**, and twenty epochs end no nearer than ten. More rows make it worse, measured so: the standard error shrinks,
# and the motion stays.

# %% [markdown]
# ## What the standard error has to do with it
#
# Suppose the learned weight is off by 0.05 standard errors. The truth is about one standard error from the exact one,
# in a direction that has nothing to do with the first. Squares add: the whole error is √(1 + 0.05²) = 1.00125 of what
# the best possible fit would have. To spend more epochs for that is waste.
#
# We can watch it. Draw 100 samples of 200 rows each, learn every one of them with three solvers, and measure after each
# epoch how far the first weight is from the **truth**, over all samples.

# %%
EPOCHS, SAMPLES = 20, 100
solvers = {
    "lr 0.3": linnet.SGD(lr=0.3, batch_size=10, epochs=EPOCHS, tol=None),
    "lr 0.03": linnet.SGD(lr=0.03, batch_size=10, epochs=EPOCHS, tol=None),
    "lr auto": linnet.SGD(batch_size=10, epochs=EPOCHS, tol=None),
}
squares = {label: np.zeros(EPOCHS) for label in solvers}
exact_square = 0.0
for seed in range(SAMPLES):
    sample = linnet.simulate([2, -3.4], bias=4.2, rows=200, noise=1.0, seed=seed)
    exact_square += (linnet.fit(sample.X, sample.y).weights[0] - 2) ** 2
    for label, solver in solvers.items():
        weights = {}
        for step in solver.steps(linnet.Objective(linnet.Squared()), linnet.open_source(sample.X, sample.y)):
            weights[step.epoch] = step.weights[0]
        squares[label] += (np.array([weights[epoch + 1] for epoch in range(EPOCHS)]) - 2) ** 2
standard_error = 1 / np.sqrt(200)
total = {label: np.sqrt(square / SAMPLES) / standard_error for label, square in squares.items()}
best = np.sqrt(exact_square / SAMPLES) / standard_error

figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
for label, error in total.items():
    axes.semilogy(range(1, EPOCHS + 1), error, "o-", markersize=4, label=label)
axes.axhline(best, color="0.4", linestyle="--", label="exact fit")
axes.set(xlabel="epoch", ylabel="error from the truth (standard errors)", title="Root mean square over 100 samples")
axes.set_xticks(range(0, EPOCHS + 1, 5))
axes.legend(frameon=False)
plt.show()

for label, error in total.items():
    print(f"{label:8} after {EPOCHS} epochs: {error[-1]:.3f} standard errors from the truth; exact fit {best:.3f}")
floor = np.sqrt(0.3 - np.tanh(0.3))  # lr 0.03, 20 steps an epoch
print(
    f"foretold for lr 0.03: a floor of {floor:.3f}, in all √({best:.3f}² + {floor:.3f}²) = {np.hypot(best, floor):.3f}"
)
assert abs(total["lr 0.03"][-1] - np.hypot(best, floor)) < 0.01
assert total["lr auto"][-1] < 1.05 * best
assert total["lr 0.3"][-1] > 1.5 * best

# %% [markdown]
# Nothing gets below the dashed line but by chance, however long it learns: it is what 200 rows know. A learning rate of
# 0.3 stays at twice that, for good, as if three quarters of the rows had been thrown away. With 0.03 the floor is a
# tenth of a standard error for so few rows. Squares add, so that nobody can see it, and ten epochs reach it. Linnet's
# own choice is near the line sooner, and stays, since it averages the weights of many late steps: their motion cancels.
#
# ## When to stop
#
# So the rule is: stop as soon as every weight is within 5 % of a standard error of its exact value. For squared loss
# the exact value and the standard error are known after one pass over the rows, before the first step. That is
# `tol="auto"`, Linnet's default. Six data sets, nothing set by hand:

# %%
random = np.random.default_rng(0)
shared = random.standard_normal((2_000, 1))
alike = np.sqrt(0.99) * shared + np.sqrt(0.01) * random.standard_normal((2_000, 5))
sizes = random.standard_normal((2_000, 7)) * 10.0 ** np.arange(7)
diabetes = load_diabetes(scaled=False)
patients = pa.table({**dict(zip(diabetes.feature_names, diabetes.data.T, strict=True)), "progress": diabetes.target})
penguins = files("linnet") / "data" / "penguins.csv"
columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "species", "sex"]

# The yearly figures of NIST's certified problem "Longley": six columns that all grow with time, and 16 rows.
longley = np.array(
    [
        [83.0, 234289, 2356, 1590, 107608, 1947, 60323],
        [88.5, 259426, 2325, 1456, 108632, 1948, 61122],
        [88.2, 258054, 3682, 1616, 109773, 1949, 60171],
        [89.5, 284599, 3351, 1650, 110929, 1950, 61187],
        [96.2, 328975, 2099, 3099, 112075, 1951, 63221],
        [98.1, 346999, 1932, 3594, 113270, 1952, 63639],
        [99.0, 365385, 1870, 3547, 115094, 1953, 64989],
        [100.0, 363112, 3578, 3350, 116219, 1954, 63761],
        [101.2, 397469, 2904, 3048, 117388, 1955, 66019],
        [104.6, 419180, 2822, 2857, 118734, 1956, 67857],
        [108.4, 442769, 2936, 2798, 120445, 1957, 68169],
        [110.8, 444546, 4681, 2637, 121950, 1958, 66513],
        [112.6, 482704, 3813, 2552, 123366, 1959, 68655],
        [114.2, 502601, 3931, 2514, 125368, 1960, 69564],
        [115.7, 518173, 4806, 2572, 127852, 1961, 69331],
        [116.9, 554894, 4007, 2827, 130081, 1962, 70551],
    ]
)

tables = {
    "first lesson": ((data.X, data.y), {}),
    "sizes 1 to 1e6": ((sizes, sizes @ 10.0 ** -np.arange(7) + random.standard_normal(2_000)), {}),
    "penguins": ((penguins, "body_mass_g"), {"features": columns, "missing": "drop"}),
    "diabetes": ((patients, "progress"), {}),
    "correlation 0.99": ((alike, alike @ np.arange(1, 6) + random.standard_normal(2_000)), {}),
    "longley": ((longley[:, :-1], longley[:, -1]), {}),
}

# %% [markdown]
# Each is learned twice: in batches of 32 rows, which is the default, and with all rows in every step, which leaves
# nothing to chance. `progress` may be any function of a Step, so that a run can be watched without touching it: here it
# writes down the weights on the way.

# %%
figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
print(f"{'':32}{'batches of 32':>27}   {'all rows':>8}")
print(f"{'':16}{'rows':>6}{'condition':>10}{'epochs':>8}{'steps':>8}{'distance':>11}{'steps':>11}{'foretold':>10}")
fits, shape, foretold = {}, {}, {}
for label, (where, options) in tables.items():
    exact = linnet.fit(*where, **options)
    watched = []
    fit = fits[label] = linnet.fit(*where, **options, solver="sgd", progress=watched.append)
    whole = linnet.fit(*where, **options, solver=linnet.SGD(batch_size=exact.n))
    shape[label] = whole.settings["steps"]
    begin = np.abs(exact.weights / exact.std_errors).max()  # all weights start at 0
    foretold[label] = fit.condition**2 * np.log(begin / 0.05)
    far = np.abs(fit.distance).max()
    print(
        f"{label:16}{fit.n:6,}{fit.condition:10.1f}{fit.settings['epochs']:8,}{fit.settings['steps']:8,}"
        f"{far:11.3f}{shape[label]:11,}{foretold[label]:10,.0f}"
    )
    for one in (fit, whole):
        assert one.status is linnet.Status.CONVERGED
        assert np.abs(one.distance).max() <= 0.05
    learning = [step for step in watched if step.epoch]
    axes.loglog([step.step for step in learning], distances(learning, exact), label=label)
axes.axhline(0.05, color="0.4", linestyle="--", label="5 %")
axes.set(xlabel="step", ylabel="largest distance from exact (standard errors)", title='tol="auto" on six data sets')
axes.set_ylim(0.001, 20)
axes.legend(frameon=False, loc="lower left", ncols=2)
plt.show()

# %% [markdown]
# All end at the dashed line, the first after a thousand steps and the last after fifty thousand. Two things take the
# time, and a third decides what that is in epochs.
#
# **Shape.** Gradient descent is quick along directions in which the rows differ much and slow along those in which they
# differ little. How unequal these are is the **condition number** κ: how nearly one column can be made of the others.
# (Not of the columns' size, which Linnet evens out.) With all rows in a step, and half of the largest stable learning
# rate, the slowest error keeps a share of 1 − 1/κ² each time. From t standard errors at the start to 0.05, that takes
# κ²·log(t / 0.05) steps: the last column. So it is, wherever κ is large.
#
# **Chance.** Where κ is near 1, all rows at once arrive in a handful of steps. Batches take a thousand and more: not to
# come near, but until the average of their motion is as good as at rest.
#
# **Rows** set how many steps an epoch has. Diabetes and "correlation 0.99" have about the same κ and need about as many
# steps. But 442 rows make 14 of them in an epoch, and 2,000 rows 63, so that the first takes many more epochs.
#
# Longley's columns have all grown for sixteen years; which of them moved employment is hardly in the data. The exact
# solver does not mind, and its standard errors say so themselves.

# %%
for label, fit in fits.items():
    if fit.condition > 5:
        assert 0.7 < shape[label] / foretold[label] < 1.1
    else:
        assert 50 * shape[label] < fit.settings["steps"]
patient, quick = fits["diabetes"], fits["correlation 0.99"]
assert 0.9 < patient.condition / quick.condition < 1.1
assert 0.5 < patient.settings["steps"] / quick.settings["steps"] < 2
assert patient.settings["epochs"] > 3 * quick.settings["epochs"]
assert max(fits, key=lambda label: fits[label].settings["steps"]) == "longley"

# %% [markdown]
# ## The penguins, beside each other

# %%
fit = fits["penguins"]
print(fit)

assert np.abs(fit.distance).max() <= 0.05
assert np.abs(fit.t_values).min() > 2

# %%
plt.figure(figures.learned_against_exact(fit))
plt.show()

# %% [markdown]
# Six grams off in a weight of 1,000, a tenth of a gram per millimetre off in one of 16: neither can be judged by
# itself. In standard errors all weights have the same scale.
#
# ## Too few epochs
#
# A run that was not allowed to get there says how far it is, and which weight is worst. It does not look converged.

# %%
short = linnet.fit(patients, "progress", solver=linnet.SGD(epochs=20))
print(short.status.text, *short.notes, sep="\n")
assert short.status is linnet.Status.STOPPED
assert not short.status.converged
assert np.abs(short.distance).max() > 0.05

# %%
plt.figure(figures.learned_against_exact(short))
plt.show()

# %% [markdown]
# ## What to remember
#
# - Measure the distance from the exact answer in standard errors. Below 0.05 nobody can tell the difference.
# - Constant steps keep a floor. With k = lr·n/batch it is √(k/2) standard errors if rows are drawn afresh, and less if
#   they are shuffled: √(k/2 − tanh(k/2)) at the end of an epoch. Averaging, or a falling learning rate, removes it.
# - The steps that all rows at once need grow with the square of the condition number. Batches need some more until
#   chance is averaged away. How many epochs that is depends on how many rows there are.
# - A loss that has stopped falling does not show that you have arrived: along a flat direction it hardly moves.
# - If the exact answer is one pass away, take it. Learn by steps where it is not: other losses, too many columns, rows
#   that never end. And then remember what "near enough" meant here.
