"""How loops are compiled, and where their machine code is kept for the next process."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import tempfile
import warnings
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from numba import config, njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

from linnet.block import InputError

FAST = {"reassoc", "contract", "nsz"}
"""What arithmetic may do where no digits hang on it: add up in another order, fuse products with sums, lose the sign of
0."""


def compiled(function: Any = None, **options: Any) -> Any:
    """Compile a function when it is first called, without the interpreter's lock, and keep the machine code.

    Args:
        function: what to compile; without it, a decorator with these options.
        options: of `numba.njit`; a division by zero raises nothing unless they say so.

    Returns:
        What compiles it, or where Numba is told not to compile anything, what raises InputError when it is called:
        machine instructions are not all there are in Python, and its integers are others.
    """
    if function is None:
        return partial(compiled, **options)
    if config.DISABLE_JIT:
        return _not_compiled
    dispatcher = njit(**{"nogil": True, "error_model": "numpy", **options})(function)
    if (kept := _kept(function)) is not None:
        dispatcher._cache = kept  # noqa: SLF001 - what enable_caching() does, with a cache that can do without
    return dispatcher


def _not_compiled(*_: Any) -> Any:
    raise InputError(
        "Numba is told not to compile (NUMBA_DISABLE_JIT), but Linnet's loops run only compiled: unset that variable. "
        "A debugger can step through linnet.scratch."
    )


class Kept(FunctionCache):  # type: ignore[misc]  # Numba has no types
    """Machine code in files; what cannot be read or written costs time, but no fit.

    It also holds what its function has from other modules: code that was compiled into it, and their constants. Numba
    makes it anew where the function's own file has changed, which is not enough.
    """

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        module = function.__globals__
        sources = digest(function.__module__, module.get("__loader__"), module.get("__file__"))
        stamp = self._impl.locator.get_source_stamp(), sources
        self._cache_file = IndexDataCacheFile(self.cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code, or None where there is none that can be read."""
        with suppress(OSError, EOFError, UnpicklingError):
            return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep it, if there is room."""
        with suppress(OSError):
            super().save_overload(sig, data)


@cache  # of all functions of a module
def digest(name: str, loader: Any, path: str | None) -> bytes:
    """A digest of the sources of a module and of all those of its package that it imports from, directly or not."""
    sources: dict[str, bytes] = {}
    package = re.escape(name.partition(".")[0]).encode()
    found = [(name, loader, path)]
    while found:
        name, loader, path = found.pop()
        with suppress(OSError, AttributeError):  # there may be no source beside the machine code
            sources[name] = loader.get_data(path)
        for imported in re.findall(rb"^from (%s\.\w+) import" % package, sources.get(name, b""), re.MULTILINE):
            module = sys.modules.get(imported.decode())
            if module is not None and module.__name__ not in sources:
                found.append((module.__name__, module.__loader__, module.__file__))
    return hashlib.sha256(b"".join(sources[name] for name in sorted(sources))).digest()


_instead: list[str | None] = []
"""Where code is kept, if Numba finds no place for it: a folder, or None for nowhere. Found out once, when needed."""


def _kept(function: Any) -> Kept | None:
    """Where the machine code of a function is kept, if anywhere.

    Numba looks for a place beside the source and in the user's folder for such files, and raises where it may write to
    neither: an installed package is often read-only, and a locked-down container has no home.
    """
    if not _instead:
        try:
            return Kept(function)
        except RuntimeError:
            _instead.append(private_folder())
            if _instead[0] is None:
                _warn()
    if _instead[0] is None:
        return None
    before, config.CACHE_DIR = config.CACHE_DIR, _instead[0]
    try:
        return Kept(function)
    except RuntimeError:
        return None
    finally:
        config.CACHE_DIR = before


def private_folder() -> str | None:
    """A folder for temporary files that nobody but this user could have put anything into; None if there is none.

    What lies there is run: a folder that somebody else made, or may write to, will not do.
    """
    if not hasattr(os, "geteuid"):  # on Windows, where temporary files are the user's own and Numba has found a place
        return None
    user = os.geteuid()
    try:
        parent = Path(tempfile.gettempdir())
        folder = parent / f"linnet-{user}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        above, found = parent.stat(), folder.lstat()
    except OSError:
        return None
    replaceable = above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX  # others may rename what is in there
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077
    return str(folder) if ours and above.st_uid in (0, user) and not replaceable else None


def _warn() -> None:
    warnings.warn(
        "Linnet finds no folder in which to keep its compiled loops, so that each start takes some seconds longer, in "
        "which they are compiled anew: name one to which you may write in the environment variable NUMBA_CACHE_DIR.",
        RuntimeWarning,
        stacklevel=2,
    )
