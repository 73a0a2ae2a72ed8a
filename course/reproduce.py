"""Published beside reproduced: every experiment over 20 seeds, written into this course's README.md.

Each experiment draws its data, its start and its orders of rows from the seed (E also its start alone), and returns
what was measured. The bounds are what the published figure and the random start leave room for. Ends with status 1 if
one is missed.
"""

import re
import sys
from pathlib import Path

import numpy as np
import torch

import linnet
from linnet import concise, scratch

SEEDS = range(20)
TRUTH = np.array([4.2, 2.0, -3.4])
README = Path(__file__).with_name("README.md")


def textbook(seed, rows=1_000):
    """The data of A: X (rows, 2) and y (rows,)."""
    data = linnet.simulate([2, -3.4], bias=4.2, rows=rows, noise=0.01, seed=seed)
    return data.X, data.y


def epochs_of(X, y, seed, epochs, lr=0.03, batch_size=10, loss=None):
    """The mean loss after each epoch, and [bias, weights] after the last, by SGD from the textbook's start."""
    loss = loss or linnet.Squared()
    objective, source = linnet.Objective(loss), linnet.open_source(X, y)
    solver = linnet.SGD(lr=lr, batch_size=batch_size, epochs=epochs, init="normal", seed=seed, tol=None)
    steps = {step.epoch: step for step in solver.steps(objective, source)}
    losses = [objective.of(source, steps[epoch].weights, steps[epoch].bias) for epoch in range(1, epochs + 1)]
    return np.array(losses), coefficients(steps[epochs])


def coefficients(step):
    """[bias, weights]."""
    return np.r_[step.bias, step.weights]


def from_scratch(seed):
    losses, u = epochs_of(*textbook(seed), seed, epochs=3)
    return {
        "mean loss after epoch 1": losses[0],
        "mean loss after epoch 2": losses[1],
        "mean loss after epoch 3": losses[2],
        "largest error of w, b": np.abs(u - TRUTH).max(),
    }


def five_epochs(seed):
    losses, u = epochs_of(*textbook(seed), seed, epochs=5)
    return {"mean loss after epoch 5": losses[4], "largest error of w, b": np.abs(u - TRUTH).max()}


def which_factor(seed):
    random = np.random.default_rng(seed)
    X = random.standard_normal((500, 4))
    y = X @ [8.1, 2, 2, 4] + random.normal(1.0, 0.01, 500)
    solver = linnet.SGD(
        lr=0.01, batch_size=16, epochs=50, start=(0.01, *random.normal(0, 0.1, 4)), seed=seed, tol=None, every=1
    )
    steps = list(solver.steps(linnet.Objective(linnet.Absolute()), linnet.open_source(X, y)))[: 50 * 32]
    sums = np.array([step.loss for step in steps]).reshape(50, 32).sum(axis=1)
    exact = linnet.fit(X, y, loss="absolute")
    learned = np.abs(y - X @ steps[-1].weights - steps[-1].bias).mean()
    away = np.r_[steps[-1].bias, steps[-1].weights] - exact.coefficients
    return {
        "sum of an epoch's mean losses, epoch 0": sums[0],
        "epoch 1": sums[1],
        "epoch 20": sums[20],
        "epoch 30": sums[30],
        "first epoch below 1": np.argmax(sums < 1),
        "the sums of the last 5 epochs": sums[45:],
        "largest error of w": np.abs(steps[-1].weights - [8.1, 2, 2, 4]).max(),
        "b": steps[-1].bias,
        "mean absolute residual, exact optimum": exact.objective,
        "of the weights after 50 epochs, over that": learned / exact.objective,
        "distance from it, in standard errors": np.abs(away / np.r_[exact.bias_std_error, exact.std_errors]).max(),
    }


def one_dimension(seed):
    random, first = np.random.default_rng(seed), np.random.default_rng(0)
    x = np.linspace(-1, 1, 100)
    y, same = (3 * x + 10 + noise.uniform(0, 1, 100) for noise in (random, first))
    start = tuple(random.uniform(-1, 1, 2))  # as nn.Linear(1, 1) starts
    solver = linnet.SGD(lr=0.02, batch_size=100, epochs=1_000, start=start, tol=None)  # 0.01 on the mean of r²
    kept = linnet.fit(x[:, None], same, solver=solver)
    fit = linnet.fit(x[:, None], y, solver=solver)
    exact = linnet.fit(x[:, None], y)
    return {
        "slope, of one table": kept.weights[0],
        "intercept, of one table": kept.bias,
        "slope, of another table each time": fit.weights[0],
        "intercept": fit.bias,
        "slope − 3, in standard errors": (fit.weights[0] - 3) / exact.std_errors[0],
        "distance of the slope from the exact one": abs(fit.weights[0] - exact.weights[0]),
    }


def concisely(seed):
    losses, u = epochs_of(*textbook(seed), seed, epochs=3, lr=0.06)  # MSELoss with 0.03
    few, _ = epochs_of(*textbook(seed, 100), seed, epochs=5, lr=0.06)
    return {
        "mean of r², 3 epochs": 2 * losses[2],
        "largest error of w, b": np.abs(u - TRUTH).max(),
        "mean of r², 100 rows, 5 epochs": 2 * few[4],
    }


def ohms_law(seed):
    data = linnet.simulate([20], bias=0.01, rows=1_000, noise=0.01, seed=seed)
    _, u = epochs_of(data.X, data.y, seed, epochs=10)
    return {"R, Ω": u[1], "offset, V": u[0]}


def plancks_law(seed):
    c1, c2 = 3.7414e8, 1.43879e4
    grid = np.linspace(0.2, 3.0, 200)
    noise = 1 + 0.01 * np.random.default_rng(seed).standard_normal(200)
    wavelength = torch.tensor(grid)
    readings = torch.tensor(c1 / (grid**5 * np.expm1(c2 / (grid * 5_800))) * noise)
    tau = torch.tensor(1 / 3, dtype=torch.float64, requires_grad=True)  # 1,000 K / T, from 3,000 K
    for _ in range(30):
        law = np.log(c1) - 5 * wavelength.log() - torch.expm1(c2 / 1_000 * tau / wavelength).log()
        ((readings.log() - law) ** 2 / 2).mean().backward()
        with torch.no_grad():
            tau -= tau.grad / np.mean((c2 / 1_000 / grid) ** 2)
        tau.grad = None
    return {"T, K": 1_000 / tau.item()}


def second_derivatives(seed):
    x = torch.tensor(np.random.default_rng(seed).normal(0, 3, 100), requires_grad=True)
    (first,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    wrong = [(got - true).abs().max().item() for got, true in ((first, 3 * x**2), (second, 6 * x))]
    return {"largest error of dy = 3x², d²y = 6x": max(wrong)}


def reshape(seed):
    X, y = textbook(seed)
    y = torch.tensor(y)
    prediction = torch.tensor(X @ TRUTH[1:, None] + TRUTH[0])  # the truth, as a layer gives it: (1000, 1)
    wrong = ((prediction - y) ** 2 / 2).mean().item()
    right = scratch.squared(prediction, y).mean().item()
    return {"loss at the truth, n × n": wrong, "reshaped": right}


def learning_rates(seed):
    X, y = textbook(seed)
    A = np.column_stack([np.ones(1_000), X])
    border = 2 / np.linalg.eigvalsh(A.T @ A / 1_000)[-1]
    ends = [epochs_of(X, y, seed, 300, factor * border, 1_000)[0][-1] for factor in (0.001, 0.5, 0.95)]
    diverged = linnet.fit(X, y, solver=linnet.SGD(lr=1.05 * border, batch_size=1_000, epochs=1_000, tol=None))
    return {
        "loss after 300 steps of 0.001 · 2/λ": ends[0],
        "of 0.5 · 2/λ": ends[1],
        "of 0.95 · 2/λ": ends[2],
        "share that diverges at 1.05 · 2/λ": float(diverged.status is linnet.Status.DIVERGED),
    }


def short_batch(seed):
    X, y = textbook(seed)
    sizes = np.diff([0, *(step.rows for step in concise.train(X, y, batch_size=300, epochs=1, seed=seed))])
    X, y = torch.tensor(X), torch.tensor(y)
    lengths = []
    for divide_by in (100, 300):  # a step on the last batch
        w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        (scratch.squared(X[900:] @ w, y[900:]).sum() / divide_by).backward()
        lengths.append(w.grad.norm().item())
    return {
        "rows in the last batch of 300": sizes[-1],
        "length of its step, divided by 300 instead": lengths[1] / lengths[0],
    }


def mean_for_sum(seed):
    X, y = textbook(seed)

    def ends(loss, lr):
        start = np.random.default_rng(seed).normal(0, 0.01, 3)
        u = torch.tensor(start, requires_grad=True)
        A = torch.tensor(np.column_stack([np.ones(1_000), X]))
        optimiser = torch.optim.SGD([u], lr=lr)
        for rows in torch.tensor(np.random.default_rng(seed).permutation(1_000)).split(10):
            optimiser.zero_grad()
            loss(A[rows] @ u, torch.tensor(y)[rows]).backward()
            optimiser.step()
        return u.detach().numpy()

    mse, total = torch.nn.MSELoss(), torch.nn.MSELoss(reduction="sum")
    mean = ends(mse, 0.03)
    slow = ends(mse, 0.003)
    half = ends(lambda prediction, y: scratch.squared(prediction, y).mean(), 0.06)
    return {
        "sum, lr/batch, against mean, lr": np.abs(ends(total, 0.003) - mean).max(),
        "r²/2, 2·lr, against r², lr": np.abs(half - mean).max(),
        "error when the mean's lr is divided": np.abs(slow - TRUTH).max(),
    }


def huber(seed):
    X, y = textbook(seed)
    _, three = epochs_of(X, y, seed, 3, loss=linnet.Huber())
    _, ten = epochs_of(X, y, seed, 10, loss=linnet.Huber())
    return {"largest error of w, b, 3 epochs": np.abs(three - TRUTH).max(), "10 epochs": np.abs(ten - TRUTH).max()}


def gradient(seed):
    X, y = (torch.tensor(part, dtype=torch.float32) for part in textbook(seed))
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(2, 1))
    torch.nn.functional.mse_loss(net(X)[:, 0], y).backward()
    by_hand = -2 * ((y - net(X)[:, 0])[:, None] * X).mean(dim=0).detach()
    return {"net[0].weight.grad against −2·mean(r·x)": (net[0].weight.grad[0] - by_hand).abs().max().item()}


def closed_form(seed):
    X, y = textbook(seed)
    A = np.column_stack([np.ones(1_000), X])
    closed = np.linalg.solve(A.T @ A, A.T @ y)
    _, u = epochs_of(X, y, seed, epochs=3)
    exact = linnet.fit(X, y)
    return {
        "SGD against w*": np.abs(u - closed).max(),
        "Linnet's exact against w*": np.abs(exact.coefficients - closed).max(),
        "error of w*": np.abs(closed - TRUTH).max(),
    }


# Experiment, what was run, and for each measure: what was published, and the least and largest that is accepted.
EXPERIMENTS = [
    ("A", from_scratch, [("0.037302", 0.01, 0.08), ("0.000140", 4.3e-5, 1e-3), ("0.000048", 4.3e-5, 5.7e-5),
                         ("0.0006", 0, 0.003)]),
    ("B", which_factor, [("232.31", 232.31), ("226.15", 226.15), ("110.37", 110.37), ("51.14", 51.14), ("39", 39),
                         ("0.29 to 0.31", 0.25, 0.35), ("0.0073", 0, 0.03), ("1.0013", 0.97, 1.03),
                         ("–", 0.0068, 0.0092), ("–", 1, 3), ("–", 1, 40)]),
    ("E", one_dimension, [("figure", 2.9, 3.1), ("figure", 10.4, 10.6), ("–", 2.85, 3.15), ("–", 10.4, 10.6),
                          ("–", -3, 3), ("–", 0, 0.01)]),
    ("F", concisely, [("–", 8.6e-5, 1.14e-4), ("–", 0, 0.003), ("–", 1e-4, 1)]),
    ("G", five_epochs, [("–", 4.3e-5, 5.7e-5), ("–", 0, 0.003)]),
    ("I", ohms_law, [("–", 19.9975, 20.0025), ("–", 0.0075, 0.0125)]),
    ("J", plancks_law, [("NaN", 5_742, 5_858)]),
    ("K", second_derivatives, [("0", 0, 1e-12)]),
    ("L", reshape, [("–", 10, 25), ("–", 4.3e-5, 5.7e-5)]),
    ("M", learning_rates, [("slow", 1, 20), ("–", 4.3e-5, 5.7e-5), ("–", 4.3e-5, 5.7e-5), ("unstable", 1, 1)]),
    ("N", short_batch, [("an error", 100, 100), ("–", 0.3333, 0.3334)]),
    ("O", mean_for_sum, [("0", 0, 1e-12), ("–", 0, 1e-12), ("–", 1, 5)]),
    ("P", huber, [("–", 0, 1), ("–", 0, 0.003)]),
    ("Q", gradient, [("–", 0, 1e-4)]),
    ("R", closed_form, [("–", 0, 0.003), ("–", 0, 1e-12), ("–", 0, 0.0015)]),
]  # fmt: skip


def shown(value):
    """A number with four digits that count."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.5g}"
    return f"{value:.3g}"


def judge(values, bounds):
    """Whether all values lie within two bounds; or, where one figure was published, whether it lies among them.

    Among them means within three of their standard deviations of their mean: what the random start explains.
    """
    if len(bounds) == 2:
        return bounds[0] <= values.min() and values.max() <= bounds[1], f"{shown(bounds[0])} to {shown(bounds[1])}"
    room = 3 * values.std(ddof=1)
    return abs(values.mean() - bounds[0]) <= room, f"mean ± 3 sd holds {shown(bounds[0])}"


def main():
    rows = ["| | measure | published | least | median | largest | asked | met |", "|---|---|---|---|---|---|---|---|"]
    missed = 0
    for letter, experiment, expected in EXPERIMENTS:
        runs = [experiment(seed) for seed in SEEDS]
        for i, (measure, (published, *bounds)) in enumerate(zip(runs[0], expected, strict=True)):
            values = np.array([run[measure] for run in runs], dtype=np.float64).ravel()
            met, asked = judge(values, bounds)
            missed += not met
            three = " | ".join(shown(value) for value in (values.min(), np.median(values), values.max()))
            name, verdict = "" if i else letter, "yes" if met else "no"
            rows.append(f"| {name} | {measure} | {published} | {three} | {asked} | {verdict} |")
            print(rows[-1])
    text = README.read_text(encoding="utf-8")
    begin, end = "<!-- reproduced -->\n", "<!-- end -->"
    table = "\n".join(rows)
    README.write_text(
        re.sub(f"{begin}.*?{end}", lambda _: f"{begin}{table}\n{end}", text, flags=re.DOTALL), encoding="utf-8"
    )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
