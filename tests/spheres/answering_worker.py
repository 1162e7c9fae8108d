"""A worker for the tests of `Sphere`: computes little, fails on request."""

import os
import signal
import sys

import numpy as np

from cllm.errors import CllmError
from cllm.spheres import SharedArrays
from cllm.spheres.worker import serve

PREPARED: list[int] = []  # processes in which `preparing` ran
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
            "pid": lambda: os.getpid(),
            "prepared": lambda: PREPARED,
        }
    )
