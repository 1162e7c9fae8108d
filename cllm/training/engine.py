"""The compute engine of a machine (dtype, instruction set, library versions), and differences between two engines."""

import dataclasses
import importlib.metadata
from collections.abc import Iterator

from cllm.machine import Machine
from cllm.training.plan import Engine


def engine_of(machine: Machine, dtype: str) -> Engine:
    """The engine of a machine, with products in `dtype`."""
    found = sorted(machine.features or ())
    return Engine(
        dtype=dtype,
        instruction_set=" ".join(name for name in found if name.startswith(("avx", "amx", "asimd", "bf16"))),
        torch_version=importlib.metadata.version("torch"),
        numba_version=importlib.metadata.version("numba"),
    )


def differences(before: Engine, now: Engine) -> Iterator[str]:
    """The fields in which two engines differ, one sentence each."""
    for field in dataclasses.fields(Engine):
        was, is_now = getattr(before, field.name), getattr(now, field.name)
        if was != is_now:
            yield f"{field.name.replace('_', ' ')} was {was}, is {is_now}"
