"""Published beside reproduced: every experiment over 20 seeds, written into this course's README.md.

Each experiment draws its data, its start and its orders of rows from the seed (E also its start alone), and returns
what was measured. What is asked of it comes from the published figures, from theory, or from an exact answer. Ends with
status 1 if anything asked is missed.
"""

import math
import re
import sys
from pathlib import Path

import numpy as np
import torch
from asked import NOISE, ONE, SURE, Among, Within, at_most, chance, mean_square, shown, spread, unrest

import linnet
from linnet import concise, scratch

SEEDS = range(20)
TRUTH = np.array([4.2, 2.0, -3.4])
README = Path(__file__).with_name("README.md")


def textbook(seed, rows=1_000):
    """The data of A: X (rows, 2) and y (rows,)."""
    data = linnet.simulate([2, -3.4], bias=4.2, rows=rows, noise=0.01, seed=seed)
    return data.X, data.y


def epochs_of(X, y, seed, epochs, lr=0.03, batch_size=10, loss=None, init="normal"):
    """The mean loss after each epoch, and [bias, weights] after the last, by SGD from the textbook's start or zeros."""
    loss = loss or linnet.Squared()
    objective, source = linnet.Objective(loss), linnet.open_source(X, y)
    solver = linnet.SGD(lr=lr, batch_size=batch_size, epochs=epochs, init=init, seed=seed, tol=None)
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
        "2 − w₁": 2 - u[1],
        "−3.4 − w₂": -3.4 - u[2],
        "4.2 − b": 4.2 - u[0],
        "the largest of these three": np.abs(u - TRUTH).max(),
    }


def five_epochs(seed):
    losses, u = epochs_of(*textbook(seed), seed, epochs=5)
    return {"mean loss after epoch 5": losses[4], "largest error of w, b": np.abs(u - TRUTH).max()}


def from_zero(seed):
    losses, _ = epochs_of(*textbook(seed), seed, epochs=3, init="zeros")
    X, y = (torch.tensor(part, dtype=torch.float32) for part in textbook(seed))
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.03)
    for _ in range(20):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(net(X)[:, 0], y).backward()
        optimiser.step()
    return {
        "one layer: mean loss after epoch 3": losses[2],
        "hidden layer: largest weight after 20 steps": net[0].weight.abs().max().item(),
    }


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
    start = tuple(random.uniform(-1, 1, 2))  # [bias, weight], as nn.Linear(1, 1) starts
    solver = linnet.SGD(lr=0.02, batch_size=100, epochs=1_000, start=start, tol=None)  # 0.01 on the mean of r²
    kept = linnet.fit(x[:, None], same, solver=solver)
    fit = linnet.fit(x[:, None], y, solver=solver)
    exact = linnet.fit(x[:, None], y)
    left = (exact.weights[0] - start[1]) * (1 - 0.02 * np.mean(x**2)) ** 1_000
    return {
        "slope, of one table": kept.weights[0],
        "intercept, of one table": kept.bias,
        "slope, of another table each time": fit.weights[0],
        "intercept": fit.bias,
        "slope: exact − learned, over what 1,000 steps leave": (exact.weights[0] - fit.weights[0]) / left,
    }


def concisely(seed):
    losses, u = epochs_of(*textbook(seed), seed, epochs=3, lr=0.06)  # MSELoss with 0.03
    few, _ = epochs_of(*textbook(seed, 100), seed, epochs=5, lr=0.06)
    whole, _ = epochs_of(*textbook(seed, 100), seed, epochs=50, lr=0.06, batch_size=100)
    return {
        "mean of r², 3 epochs": 2 * losses[2],
        "largest error of w, b": np.abs(u - TRUTH).max(),
        "mean of r², 100 rows, 5 epochs, over that of 50 steps on all rows": few[4] / whole[-1],
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
    eigenvalues, along = np.linalg.eigh(A.T @ A / 1_000)
    border, exact = 2 / eigenvalues[-1], linnet.fit(X, y)
    least = exact.objective
    parts = eigenvalues * (along.T @ exact.coefficients) ** 2 / 2  # of the loss above the least, at the start from zero
    slow, half, near = (
        epochs_of(X, y, seed, 300, factor * border, 1_000, init="zeros")[0][-1] for factor in (0.001, 0.5, 0.95)
    )
    diverged = linnet.fit(X, y, solver=linnet.SGD(lr=1.05 * border, batch_size=1_000, epochs=1_000, tol=None))
    return {
        "share of the loss left by 300 steps of 0.001 · 2/λ": (slow - least) / parts.sum(),
        "over what the eigenvalues foretell": (slow - least) / (parts @ (1 - 0.001 * border * eigenvalues) ** 600),
        "loss after 300 steps of 0.5 · 2/λ, over the least": half / least,
        "of 0.95 · 2/λ": near / least,
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
    three, whole, ten = (
        np.abs(epochs_of(X, y, seed, epochs, batch_size=batch_size, loss=linnet.Huber())[1] - TRUTH).max()
        for epochs, batch_size in ((3, 10), (300, 1_000), (10, 10))
    )
    return {
        "largest error of w, b, 3 epochs, over that of 300 steps on all rows": three / whole,
        "largest error of w, b, 10 epochs": ten,
    }


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


NORMAL = math.sqrt(2 / math.pi)  # the mean of |z| for z from N(0, 1)
HALF = mean_square(0.5, "½·0.01²")
LEARNED = spread(1 + unrest(0.03))  # of a weight that SGD learned
REST = 4.2 * 0.97**300  # of the start, after three epochs of 0.03
LEFT = 0.994**100  # share of an error that is left after 100 steps of 0.006
LINE = math.sqrt(1 / 12 / 100), math.sqrt(1 / 12 / np.sum(np.linspace(-1, 1, 100) ** 2))  # E's standard errors: b, w
STAR = 1.43879e4 / 5_800 / np.linspace(0.2, 3.0, 200)
KELVIN = 0.01 * 5_800 / math.sqrt(np.sum((STAR / -np.expm1(-STAR)) ** 2))  # J's standard error
UNREST = "standard error and unrest of SGD"
ROUNDING = "rounding"

# Letter, name, lesson, what is run, and for each measure: what was published, and what is asked.
EXPERIMENTS = [
    ("A", "from scratch", "01_from_scratch", from_scratch, [
        ("0.037302", Among(0.037302)), ("0.000140", Among(0.000140)), ("0.000048", Among(0.000048)),
        ("0.0006", Among(0.0006)), ("0.0001", Among(0.0001)), ("−0.0003", Among(-0.0003)),
        ("0.0006", at_most(SURE * LEARNED + REST, f"{UNREST}, rest of the start")),
    ]),
    ("B", "which factor matters", "04_which_factor", which_factor, [
        ("232.31", Among(232.31)), ("226.15", Among(226.15)), ("110.37", Among(110.37)), ("51.14", Among(51.14)),
        ("39", Among(39)), ("0.29 to 0.31", Among(0.29, 0.31)), ("0.0073", Among(0.0073)), ("1.0013", Among(1.0013)),
        ("–", chance(NOISE * NORMAL, NOISE * math.sqrt((1 - NORMAL**2) / 500), "0.01·√(2/π) and chance")),
        ("–", Within(1, math.inf, "nothing is below the optimum")),
        ("–", Within(SURE, math.inf, "beyond chance, so it has not settled")),
    ]),
    ("E", "one dimension", "03_one_dimension", one_dimension, [
        ("figure", Within(3 - 2 * LINE[1], 3 + 2 * LINE[1], "3 and two standard errors")),
        ("figure", Within(10.5 - 2 * LINE[0], 10.5 + 2 * LINE[0], "10.5 and two standard errors")),
        ("–", chance(3, LINE[1], "3 and chance")), ("–", chance(10.5, LINE[0], "10.5 and chance")),
        ("–", ONE),
    ]),
    ("F", "concise", "02_concise", concisely, [
        ("–", mean_square(1, "0.01²")), ("–", at_most(SURE * spread(1 + unrest(0.06)), UNREST)),
        ("–", Within(0.9, 1.1, "differ by terms in lr²")),
    ]),
    ("G", "five epochs", "01_from_scratch", five_epochs, [
        ("–", HALF), ("–", at_most(SURE * LEARNED, UNREST)),
    ]),
    ("H", "from zero", "01_from_scratch", from_zero, [
        ("–", HALF), ("–", Within(0, 0, "no gradient gets there")),
    ]),
    ("I", "Ohm's law", "08_ohms_law", ohms_law, [
        ("–", chance(20, LEARNED, UNREST)),
        ("–", chance(0.01, LEARNED, UNREST)),
    ]),
    ("J", "Planck's law", "09_plancks_law", plancks_law, [("NaN", chance(5_800, KELVIN, "5,800 and chance"))]),
    ("K", "second derivatives", "10_second_derivatives", second_derivatives, [("3x², 6x", at_most(1e-12, ROUNDING))]),
    ("L", "why squared_loss reshapes", "12_gallery_of_mistakes", reshape, [
        ("–", chance(15.56, 15.56 * math.sqrt(2 / 1_000), "variance of X·w and chance")), ("–", HALF),
    ]),
    ("M", "learning rates", "05_learning_rates", learning_rates, [
        ("slow", Within(0.998**600, math.inf, "no direction keeps less than 0.998⁶⁰⁰")),
        ("–", ONE), ("–", ONE), ("–", ONE), ("unstable", Within(1, 1, "above the border")),
    ]),
    ("N", "a last batch that is not full", "12_gallery_of_mistakes", short_batch, [
        ("an error", Within(100, 100, "1,000 − 3·300")), ("–", Within(1 / 3 - 1e-12, 1 / 3 + 1e-12, "100/300")),
    ]),
    ("O", "mean instead of sum", "02_concise", mean_for_sum, [
        ("–", at_most(1e-12, ROUNDING)), ("–", at_most(1e-12, ROUNDING)),
        ("–", chance(4.2 * LEFT, 0.6 * LEFT * math.sqrt((4 + 11.56) / 1_000), "4.2·0.994¹⁰⁰ and chance")),
    ]),
    ("P", "Huber loss", "11_huber", huber, [
        ("–", Within(0.9, 1.1, "differ by terms in lr²")), ("–", at_most(SURE * LEARNED, UNREST)),
    ]),
    ("Q", "the gradient of a layer", "01_from_scratch", gradient, [("–", at_most(1e-5, "rounding of float32"))]),
    ("R", "closed form", "06_closed_form", closed_form, [
        ("–", at_most(SURE * spread(unrest(0.03)) + REST, "unrest of SGD, rest of the start")),
        ("–", at_most(1e-13, ROUNDING)), ("–", at_most(SURE * spread(1), "standard error")),
    ]),
]  # fmt: skip


def measured(experiment, seeds):
    """The values of each measure over some seeds, by its name."""
    runs = [experiment(seed) for seed in seeds]
    return {name: np.array([run[name] for run in runs], dtype=np.float64).ravel() for name in runs[0]}


def main():
    rows = [
        "| | experiment | measure | published | least | median | largest | asked | met |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    missed = 0
    for letter, name, lesson, experiment, expected in EXPERIMENTS:
        first = f"{letter} | [{name}]({lesson}.py)"
        values_of = measured(experiment, SEEDS)
        for (measure, values), (published, asked) in zip(values_of.items(), expected, strict=True):
            met = asked.met(values)
            missed += not met
            three = " | ".join(shown(value) for value in (values.min(), np.median(values), values.max()))
            rows.append(f"| {first} | {measure} | {published} | {three} | {asked} | {'yes' if met else 'no'} |")
            first = " | "
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
