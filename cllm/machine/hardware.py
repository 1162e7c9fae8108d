"""What this machine has: processor, memory, programs.

It is read from Linux's `/proc` and `/sys/fs/cgroup`, so that a container's limits count and not its host's hardware. A
fact that cannot be read is None; a limit that cannot be read is no limit. Left out: accelerators, other operating
systems, and any choice of model or batch (the training plan makes it).
"""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cllm.machine.procfs import kibibytes, read_fields, read_text

# Instruction sets that decide the speed of small matrices: as Linux names them.
X86_FEATURES = {"avx2", "fma", "f16c", "avx_vnni", "avx_ne_convert", "avx512f", "avx512_vnni", "avx512_bf16"}
AMX_FEATURES = {"amx_tile", "amx_bf16", "amx_int8"}
ARM_FEATURES = {"asimd", "asimddp", "bf16", "i8mm", "sve"}
FEATURES = frozenset(X86_FEATURES | AMX_FEATURES | ARM_FEATURES)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts that a plan or a report needs. `features` None: the kernel does not say."""

    system: str
    architecture: str
    cpu: str
    cores: int  # that this process may use at once
    memory_bytes: int
    available_bytes: int
    features: frozenset[str] | None
    gcc: bool
    venv: bool  # Python can make virtual environments
    git: bool
    make: bool


def detect_machine(root: Path = Path("/")) -> Machine:
    """This machine as it is now; `root` is where `proc`, `sys` and `etc` lie."""
    cpuinfo = read_fields(root / "proc/cpuinfo")
    flags = cpuinfo.get("flags") or cpuinfo.get("Features")  # x86, ARM
    release = read_fields(root / "etc/os-release", separator="=").get("PRETTY_NAME", "").strip('"')
    memory_bytes, available_bytes = _memory(root)
    return Machine(
        system=", ".join(filter(None, (release, f"{platform.system()} {platform.release()}"))),
        architecture=platform.machine(),
        cpu=cpuinfo.get("model name", "unknown"),
        cores=count_cores(root),
        memory_bytes=memory_bytes,
        available_bytes=available_bytes,
        features=None if flags is None else FEATURES & frozenset(flags.split()),
        gcc=shutil.which("gcc") is not None,
        venv=importlib.util.find_spec("ensurepip") is not None,
        git=shutil.which("git") is not None,
        make=shutil.which("make") is not None,
    )


def default_dtype(machine: Machine) -> Literal["bfloat16", "float32"]:
    """bfloat16 where the processor multiplies it (AMX, AVX-512); elsewhere it is emulated, slower than float32."""
    return "bfloat16" if machine.features and machine.features & {"amx_bf16", "avx512_bf16"} else "float32"


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups that limit this process, of version 2 and 1: its own, and those around it."""
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = mount / path.strip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(mount))


def _number(text: str) -> int | None:
    """The integer in a control file; None for "max", nothing, or -1, which all mean no limit."""
    return int(text) if text.strip().isdecimal() else None


def count_cores(root: Path = Path("/")) -> int:
    """Cores this process may run on, and no more than its processor quota pays for."""
    cores = len(os.sched_getaffinity(0))
    for group in _cgroups(root, "cpu"):
        quota, _, period = read_text(group / "cpu.max").partition(" ")
        quota = quota or read_text(group / "cpu.cfs_quota_us")
        period = period or read_text(group / "cpu.cfs_period_us")
        quota_us, period_us = _number(quota), _number(period)
        if quota_us is not None and period_us:
            cores = min(cores, quota_us // period_us)
    return max(cores, 1)


def _memory(root: Path) -> tuple[int, int]:
    """Bytes of memory in total and available, of the machine or of the tightest control group."""
    meminfo = read_fields(root / "proc/meminfo")
    total = kibibytes(meminfo.get("MemTotal")) or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = kibibytes(meminfo.get("MemAvailable")) or total
    for group in _cgroups(root, "memory"):
        limit = _number(read_text(group / "memory.max") or read_text(group / "memory.limit_in_bytes"))
        if limit is None:
            continue
        used = _number(read_text(group / "memory.current") or read_text(group / "memory.usage_in_bytes")) or 0
        stat = read_fields(group / "memory.stat", separator=" ")  # file pages not in use are given back on demand
        inactive_bytes = _number(stat.get("total_inactive_file") or stat.get("inactive_file") or "") or 0
        total = min(total, limit)
        available = max(0, min(available, limit - used + inactive_bytes))
    return total, available
