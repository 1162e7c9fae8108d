"""What computes the numbers of a run on a machine, and how two such differ."""

import dataclasses
import importlib.metadata
from collections.abc import Iterator

from cllm.machine import Machine
from cllm.training.plan import Engine


def engine_of(machine: Machine, dtype: str) -> Engine:
    """What computes on a machine."""
    found = sorted(machine.features or ())
    return Engine(
        dtype=dtype,
        instruction_set=" ".join(name for name in found if name.startswith(("avx", "amx", "asimd", "bf16"))),
        torch_version=importlib.metadata.version("torch"),
        numba_version=importlib.metadata.version("numba"),
    )


def differences(before: Engine, now: Engine) -> Iterator[str]:
    """In which respects two engines differ, as sentences."""
    for field in dataclasses.fields(Engine):
        was, is_now = getattr(before, field.name), getattr(now, field.name)
        if was != is_now:
            yield f"{field.name.replace('_', ' ')} was {was}, is {is_now}"
