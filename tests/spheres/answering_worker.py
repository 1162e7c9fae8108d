"""A worker for the tests of `Sphere`: small computations, and failures on request."""

import os
import signal
import sys

import numpy as np

from cllm.errors import CllmError
from cllm.spheres import SharedArrays
from cllm.spheres.worker import serve

PREPARED: list[int] = []  # PIDs of the processes in which `preparing.prepare` was run
LAYOUT: dict[str, tuple[str, tuple[int, ...]]] = {"a": ("float32", (4, 5)), "b": ("int64", (3,))}


def square(x: int) -> int:
    print("a stray print does not disturb the answers")
    return x * x


def write(descriptor: int, row: int) -> None:
    SharedArrays(LAYOUT, descriptor)["a"][row] = np.full(5, row)


def fail() -> None:
    raise CllmError("this was refused")


def bug() -> None:
    raise ZeroDivisionError("a bug")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_first_call(descriptor: int) -> bool:
    """Whether this is the first call in any process: a pipe holds one byte, which the first call reads."""
    try:
        return bool(os.read(descriptor, 1))
    except BlockingIOError:
        return False


def square_later(x: int, descriptor: int, number: int) -> int:
    """The square of x; the first process that is called sends itself a signal instead."""
    if is_first_call(descriptor):
        os.kill(os.getpid(), number)
    return x * x


def square_wrongly(x: int, descriptor: int) -> int:
    """The square of x, except for the first call, which returns -1."""
    return -1 if is_first_call(descriptor) else x * x


def remember(x: int) -> None:
    PREPARED.append(x)


def end(code: int) -> None:
    os._exit(code)


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    serve(
        {
            "square": square,
            "write": write,
            "fail": fail,
            "bug": bug,
            "die": die,
            "end": end,
            "square_later": square_later,
            "square_wrongly": square_wrongly,
            "remember": remember,
            "pid": lambda: os.getpid(),
            "prepared": lambda: PREPARED,
        }
    )
