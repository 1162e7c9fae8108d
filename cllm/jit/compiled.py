"""One decorator for every kernel: machine code by Numba, kept between processes.

Numba keeps a kernel as long as its own file does not change, and does not see that a kernel it calls has. So the
folder it keeps them in is named after the content of the files whose kernels are called from others; it is in this
package where that can be written, else where Numba chooses. All together compile for a minute on one core, later
processes load them in 0.5 s (EPYC Zen 3, 2026-11-26).

A kernel does not look whether an index lies in its array, unless `numba.config.BOUNDSCHECK` is set before this module
is imported, as the tests do: so those kernels are kept by themselves.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.core.config
import numpy.typing as npt

# What kernels take: an array, whose documentation says of what, and a number, Python's or NumPy's, which are one to
# Numba and many to a type checker.
Array = npt.NDArray[Any]
Number = Any
Function = TypeVar("Function", bound=Callable[..., Any])

# Beside jit/ and memory/: modules whose kernels other modules call.
CALLED_MODULES = ("model/scalars.py", "generation/predict/attention.py", "generation/predict/int8_matmul.py")

# `nogil` lets other threads go on meanwhile. `fastmath` lets sums be vectorised, which is most of the speed; so results
# are those of this kind of processor.
# Without `nrt`, Numba's own memory, kernels make no arrays and count no references to those they are given, which took
# two fifths of the time in which a memory reads (2026-11-25).
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": True, "error_model": "numpy", "_nrt": False}


def compiled(function: Function) -> Function:
    """The function as a kernel that others may call."""
    return cast(Function, numba.njit(**OPTIONS)(function))


def inlined(function: Function) -> Function:
    """The function as a part of the kernels that call it: for what runs for every bit."""
    return cast(Function, numba.njit(inline="always", **OPTIONS)(function))


def _set_cache_directory() -> None:
    package = Path(__file__).parents[1]
    base = package / "__pycache__"
    if "NUMBA_CACHE_DIR" in os.environ or not os.access(base if base.exists() else package, os.W_OK):
        return
    folders = [path for room in ("jit", "memory") for path in sorted((package / room).rglob("*.py"))]
    files = [*folders, *(package / name for name in CALLED_MODULES)]
    content = b"".join(path.read_bytes() for path in files)
    kind = "checked" if numba.core.config.BOUNDSCHECK else "kernels"  # type: ignore[attr-defined]
    folder = base / f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}"
    for other in base.glob(f"{kind}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    numba.core.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]


_set_cache_directory()
