"""`cllm doctor`: the hardware and programs of this machine that CLLM uses, and its measured matrix speed."""

import dataclasses
import platform
import time
from collections.abc import Callable
from typing import Any

import torch

from cllm.machine import default_dtype, detect_machine

MATRIX_SIZE = 1024  # rows and columns of the matrices that are multiplied
MEASUREMENT_SECONDS = 0.5  # per measurement


def machine_report() -> dict[str, Any]:
    """The machine's properties, library versions, and measured matrix speeds in GFLOP/s."""
    machine = detect_machine()
    dtype = default_dtype(machine)
    speeds = {
        f"{name}_{threads}_threads": matrix_speed(getattr(torch, name), threads)
        for name in ("float32", "bfloat16")
        for threads in sorted({1, machine.cores})
    }
    facts = dataclasses.asdict(machine)
    return {
        "machine": {**facts, "features": sorted(facts["features"] or ())},
        "python": platform.python_version(),
        "torch": torch.__version__,
        "dtype": dtype,
        "matrix_path": torch.backends.cpu.get_cpu_capability(),
        "matrix_gflops": speeds,
    }


def matrix_speed(dtype: torch.dtype, threads: int) -> float:
    """GFLOP/s of the product of two square matrices."""
    torch.set_num_threads(threads)
    a, b = (torch.randn(MATRIX_SIZE, MATRIX_SIZE).to(dtype) for _ in range(2))
    return 2 * MATRIX_SIZE**3 * repeats_per_second(lambda: a @ b) / 1e9


def repeats_per_second(call: Callable[[], object]) -> float:
    """Calls per second, after one warm-up call."""
    call()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < MEASUREMENT_SECONDS:
        call()
        count += 1
    return count / (time.perf_counter() - began)
