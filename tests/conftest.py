"""What every test starts from: the same random numbers, no window, 80 columns."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

import nist

# Before anything imports matplotlib or rich, and for child processes too.
os.environ["MPLBACKEND"] = "Agg"
os.environ["COLUMNS"] = "80"

# The same examples on every run and machine, and no time limit that a busy machine could break.
settings.register_profile("linnet", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("linnet")

gc.disable()  # while modules are imported and tests collected


def pytest_collection_finish() -> None:
    """Leave what lasts to the end, half a million objects, out of every later collection of garbage."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same for every test."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def nist_problem() -> Callable[[str], nist.Problem]:
    """Reads a NIST problem by name, or skips the test where the problems are absent."""
    folder = nist.folder()

    def problem(name: str) -> nist.Problem:
        if folder is None:
            pytest.skip("NIST's problems are neither in shared/data/nist beside the project nor at $LINNET_NIST")
        return nist.read(folder / f"{name}.dat")

    return problem
