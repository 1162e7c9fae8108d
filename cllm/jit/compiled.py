"""Decorators for kernels compiled by Numba, with a cache on disk.

Numba invalidates a cached kernel when its own file changes, but not when a kernel that it calls does. So the cache
folder is named after a hash of all files whose kernels are called from other files; it is inside this package if that
is writable, else where Numba chooses. Compiling all kernels takes a minute on one core, loading them from the cache
0.5 s (EPYC Zen 3, 2026-11-26).

Kernels have no bounds checks unless `numba.config.BOUNDSCHECK` is set before this module is imported, as the tests do;
checked kernels have a cache folder of their own.
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

# Types of kernel arguments: an array, whose shape and dtype the docstrings give, and a number of Python or NumPy, which
# Numba unifies and a type checker does not.
Array = npt.NDArray[Any]
Number = Any
Function = TypeVar("Function", bound=Callable[..., Any])

# Besides jit/ and memory/: modules whose kernels are called from other modules.
CALLED_MODULES = ("model/scalars.py", "generation/predict/attention.py", "generation/predict/int8_matmul.py")

# `nogil` lets other threads run. `fastmath` allows sums to be vectorised, which is most of the speed; results therefore
# depend on the kind of processor.
# Without `nrt`, Numba's runtime, kernels cannot allocate arrays and do not count references to their arguments, which
# took two fifths of a memory's training time (2026-11-25).
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": True, "error_model": "numpy", "_nrt": False}


def compiled(function: Function) -> Function:
    """Decorator: compile a function as a kernel that other kernels may call."""
    return cast(Function, numba.njit(**OPTIONS)(function))


def inlined(function: Function) -> Function:
    """Decorator: inline a function into the kernels that call it, for code that runs for every bit."""
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
