"""The files that a command writes: not those that it reads, each another one, and the result in them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.block import Float64s, InputError
from linnet.console import remark, stdout

if TYPE_CHECKING:
    from linnet.fits import Fits
    from linnet.fitted import Fit


def check(
    data: str, save: str | None, plot: str | None, checkpoint: str | None = None, *, learned: bool = False
) -> None:
    """Refuse, before the work is done, files that cannot be written, or that are one with another of the command's.

    Args:
        data: what is read: a path, a glob or a folder.
        save: where the model goes, if anywhere.
        plot: likewise the figure.
        checkpoint: likewise the run.
        learned: whether a loss curve goes beside the figure.

    Raises:
        InputError: names the file.
    """
    from linnet import figures
    from linnet.atomic import check_apart, check_output
    from linnet.sources.files import table_files

    curve = _beside(plot) if plot is not None and learned else None
    if save is not None:
        check_output(save)
    for path in (plot, curve):
        if path is not None:
            check_output(path, figures.SUFFIXES)
    outputs = {"model": save, "figure": plot, "loss curve beside the figure": curve, "checkpoint": checkpoint}
    if any(path is not None for path in outputs.values()):
        check_apart(outputs, table_files(data))


def write(result: Fit | Fits, data: str, save: str | None, plot: str | None, quiet: bool) -> None:
    """Write the model and the figures that were asked for."""
    from linnet import figures
    from linnet.fitted import Fit

    if save is not None:
        result.save(save)
        remark(f"Model: {save}", quiet)
    if plot is None:
        return
    with drawing(), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        figures.save(result.plot(data if len(result.names) == 1 else None), plot)
        remark(f"Figure: {plot}", quiet)
        try:
            if isinstance(result, Fit) and "lr" in result.settings:
                figures.save(figures.loss_curve(result), _beside(plot))
                remark(f"Figure: {_beside(plot)}", quiet)
        except InputError as error:  # no reason to fail: the weights are there
            remark(f"No loss curve: {error}", quiet)
    for text in {str(warning.message): None for warning in warned}:
        remark(text, quiet)


@contextmanager
def drawing() -> Iterator[None]:
    """Say in one sentence that matplotlib draws no figure: its settings are the user's, and the weights are there."""
    try:
        yield
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"matplotlib could not draw the figure: {type(error).__name__}: {error}. Its settings (matplotlibrc, "
            "MATPLOTLIBRC) are the likely cause; the fit is not."
        ) from error


@contextmanager
def rows_to(out: str | None, names: Sequence[str]) -> Iterator[Callable[[Sequence[Float64s]], None]]:
    """A function that writes rows of numbers to a file, or without one to stdout as CSV."""
    from linnet.atomic import column_writer, csv_writer

    if out is not None:
        with column_writer(out, names) as write:
            yield write
    else:
        with stdout() as stream, csv_writer(stream.buffer, names) as write:
            yield write


def _beside(plot: str) -> Path:
    """Where the loss curve goes that belongs to a figure: weights.png has weights-loss.png."""
    path = Path(plot)
    return path.with_name(f"{path.stem}-loss{path.suffix}")
