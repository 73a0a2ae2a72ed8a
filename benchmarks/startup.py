"""How long a command takes as a whole process, from the shell's prompt to the next one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import as_file, files

from timing import Contender, begin, duration, medians, table, warm


def process(*arguments: str) -> Callable[[], None]:
    """Runs Python with these arguments, its output thrown away."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder)

    return run


def main() -> None:
    """Print one table."""
    runs = 1 if begin("Start of a command, warm", "15 runs").quick else 15
    with as_file(files("linnet") / "data" / "penguins.csv") as penguins:
        fit = ("-m", "linnet", "fit", str(penguins), "--target", "body_mass_g", "--missing", "drop")
        contenders = [
            Contender("linnet fit penguins.csv --target body_mass_g --missing drop", process(*fit), runs),
            Contender("linnet --help", process("-m", "linnet", "--help"), runs),
            Contender("import linnet", process("-c", "import linnet"), runs),
            Contender("for scale: python -c pass", process("-c", "pass"), runs),
            Contender("for scale: import numpy", process("-c", "import numpy"), runs),
            Contender("for scale: import sklearn.linear_model", process("-c", "import sklearn.linear_model"), runs),
        ]
        warm(contenders)
        seconds = medians(contenders)
    plain = seconds["for scale: python -c pass"]
    table(
        "Wall time of a whole process",
        ("process", "runs", "median", "÷ python -c pass"),
        [(c.name, str(runs), duration(seconds[c.name]), f"{seconds[c.name] / plain:.3g}") for c in contenders],
    )


if __name__ == "__main__":
    main()
