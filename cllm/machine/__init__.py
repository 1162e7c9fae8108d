"""Facts about this computer and its processes, from Linux's /proc and control groups."""

from cllm.machine.hardware import FEATURES, Machine, count_cores, default_dtype, detect_machine
from cllm.machine.processes import (
    MemorySampler,
    anonymous_set_size,
    cpu_seconds,
    descendants,
    proportional_set_size,
    resident_bytes,
    trim_heap,
)
from cllm.machine.work_timer import WorkTimer

__all__ = [
    "FEATURES",
    "Machine",
    "MemorySampler",
    "WorkTimer",
    "anonymous_set_size",
    "count_cores",
    "cpu_seconds",
    "default_dtype",
    "descendants",
    "detect_machine",
    "proportional_set_size",
    "resident_bytes",
    "trim_heap",
]
