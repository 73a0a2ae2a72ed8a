# %% [markdown]
# # 7. A timer, and why vectors
#
# Training repeats a small calculation very often, so it pays to know what a repetition costs. This lesson builds a
# timer, adds two vectors in several ways, and then asks the same question of gradient descent itself.
#
# The published claim is modest: adding whole vectors is faster than adding element by element "by an order of
# magnitude". We shall find more than one.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import torch

import linnet
from linnet import scratch

# %% [markdown]
# ## A timer
#
# A clock read once tells little: the first run of anything is slow, and any run can be disturbed. So the timer keeps
# every lap, and answers for all of them together.


# %%
class Timer:
    """Keeps the seconds of every lap between start() and stop()."""

    def __init__(self):
        self.times = []
        self.start()

    def start(self):
        self.began = time.perf_counter()

    def stop(self):
        self.times.append(time.perf_counter() - self.began)
        return self.times[-1]

    def avg(self):
        return self.sum() / len(self.times)

    def sum(self):
        return sum(self.times)

    def cumsum(self):
        return np.cumsum(self.times).tolist()


# %% [markdown]
# `perf_counter` is the clock for this: it never jumps when the computer's time of day is set, and it ticks far finer
# than a millisecond. Three laps of known length show that the sums are right.

# %%
timer = Timer()
for pause in (0.01, 0.02, 0.03):
    timer.start()
    time.sleep(pause)
    timer.stop()

print(f"laps {[round(lap, 3) for lap in timer.times]}, sum {timer.sum():.3f} s, average {timer.avg():.3f} s")
assert all(lap >= 0.99 * pause for lap, pause in zip(timer.times, (0.01, 0.02, 0.03), strict=True))
assert timer.cumsum()[-1] == timer.sum()
assert timer.avg() == timer.sum() / 3

# %% [markdown]
# ## Element by element, or at once
#
# Two vectors of 10,000 ones. One program fetches two elements, adds them and stores the sum, 10,000 times. The other
# says what it wants, `a + b`, and leaves the loop to compiled code.

# %%
n = 10_000
a, b = torch.ones(n), torch.ones(n)


def one_by_one(a, b):
    c = torch.zeros(len(a))
    for i in range(len(a)):
        c[i] = a[i] + b[i]
    return c


def laps(function, *arguments, repeats):
    """A Timer that has watched `function` that often, after one call that does not count."""
    function(*arguments)
    timer = Timer()
    for _ in range(repeats):
        timer.start()
        function(*arguments)
        timer.stop()
    return timer


assert torch.equal(one_by_one(a, b), a + b)
assert torch.equal(a + b, torch.full((n,), 2.0))

slow = laps(one_by_one, a, b, repeats=3)
fast = laps(torch.add, a, b, repeats=300)

# %% [markdown]
# Both give the same 10,000 twos. Which average to compare? Whatever disturbs a lap makes it longer, never shorter, so
# the shortest one says most about the program. The average says what a user waits for.

# %%
print(f"{'':28}{'shortest':>12}{'average':>12}")
for label, timer in (("one by one", slow), ("at once", fast)):
    print(f"{label:28}{min(timer.times) * 1e6:9.1f} µs{timer.avg() * 1e6:9.1f} µs")

factor = min(slow.times) / min(fast.times)
print(f"\nfactor published: about 10      factor here: {factor:,.0f}")
assert factor > 10

# %% [markdown]
# ## Where does the time go?
#
# Not into adding: a processor adds 10,000 numbers in a few microseconds. Each turn of the Python loop creates three
# tensors of one number, checks their types and devices, and throws them away.
#
# The loop is no better only because it is torch's. The same sums over Python's lists and over NumPy arrays tell how
# much is the interpreter and how much is the wrapping of single numbers in objects.


# %%
def over_lists(a, b):
    return [x + y for x, y in zip(a, b, strict=True)]


lengths = np.array([1, 10, 100, 1_000, 10_000, 30_000])
ways = {
    "torch, one by one": lambda m: (one_by_one, torch.ones(m), torch.ones(m)),
    "Python lists": lambda m: (over_lists, [1.0] * m, [1.0] * m),
    "torch, at once": lambda m: (torch.add, torch.ones(m), torch.ones(m)),
    "NumPy, at once": lambda m: (np.add, np.ones(m, np.float32), np.ones(m, np.float32)),
}
seconds = {label: [] for label in ways}
for label, way in ways.items():
    for m in lengths[: 5 if label == "torch, one by one" else None]:
        timer = laps(*way(m), repeats=3 if m >= 10_000 and "at once" not in label else 20)
        seconds[label].append(min(timer.times))

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
for label, times in seconds.items():
    axes.loglog(lengths[: len(times)], np.array(times) * 1e6, "o-", label=label)
axes.set(xlabel="length of the vectors", ylabel="time for one addition (µs)", title="What an addition costs")
axes.grid(alpha=0.3)
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Read the figure from the left. For one element every way costs a microsecond or a few: the calls. The loops then grow
# in proportion to the length. The vectors stay flat until the work itself outweighs the call, somewhere beyond a
# thousand elements.
#
# So vectors do not help because they are vectors. They help because **one** trip through the interpreter does the work
# of thousands. Where each trip does only a little work, they cannot help.

# %%
print("10,000 elements take so many times as long as one:")
growth = {label: times[4] / times[0] for label, times in seconds.items()}
for label, times in growth.items():
    print(f"{label:20}{times:9,.0f}")
assert growth["torch, one by one"] > 1_000
assert growth["torch, at once"] < 100

# %% [markdown]
# ## Gradient descent takes small steps
#
# A minibatch of 10 rows and 2 features is exactly such a case. Every operation in `linnet.scratch` is on vectors, and
# yet almost all of its time is the trips: some 30 operations a step, each on a handful of numbers.
#
# The remedy is the one that served above, one level up: let **one** trip do the work of many steps. `linnet.SGD` hands
# whole epochs to a compiled loop. That loop adds element by element, as our slow one did; there, each turn costs
# a nanosecond.

# %%
data = linnet.simulate([2, -3.4], bias=4.2, rows=1_000, noise=0.01)
X, y = data.X, data.y


def from_scratch():
    return list(scratch.train(X, y, lr=0.03, batch_size=10, epochs=3, seed=0))[-1]


def with_linnet():
    return linnet.fit(X, y, solver=linnet.SGD(lr=0.03, batch_size=10, epochs=3, init="normal", seed=0, tol=None))


last, fit = from_scratch(), with_linnet()
print(f"scratch  w = {last.weights}, b = {last.bias:.6f}")
print(f"Linnet   w = {fit.weights}, b = {fit.bias:.6f}")
assert np.allclose(fit.weights, last.weights, rtol=1e-10)
assert np.isclose(fit.bias, last.bias, rtol=1e-10)

# %% [markdown]
# The same seed draws the same start and the same order of rows, so the 300 steps are the same 300 steps. Only the time
# differs. (The first call of `linnet.fit` compiles its loops, or loads them from where an earlier run left them; `laps`
# does not count it.)

# %%
slow, fast = laps(from_scratch, repeats=3), laps(with_linnet, repeats=30)
factor = min(slow.times) / min(fast.times)
print(f"scratch {min(slow.times) * 1e3:8.2f} ms for 300 steps, {min(slow.times) / 300 * 1e6:6.1f} µs each")
print(f"Linnet  {min(fast.times) * 1e3:8.2f} ms, reading, checking and judging included: {factor:,.0f} times faster")
assert factor > 10

# %% [markdown]
# ## What to remember
#
# - Count the trips through the interpreter, not the additions.
# - Vectors make a trip carry more. For large batches they are all that is needed.
# - Where a step is small by nature, only a compiled loop over many steps helps; it must give the same numbers, and a
#   test can show that it does.
# - Time with a monotonic clock, leave the first run out, repeat, and look at the shortest lap.
