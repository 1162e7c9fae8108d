"""Hardware and programs of this machine: processor, memory, tools.

They are read from Linux's `/proc` and `/sys/fs/cgroup`, so a container's limits apply and not its host's hardware. A
value that cannot be read is None; a limit that cannot be read is no limit. Accelerators and other operating systems are
not supported.
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

# Instruction sets that determine the speed of small matrix products, by their Linux names.
X86_FEATURES = {"avx2", "fma", "f16c", "avx_vnni", "avx_ne_convert", "avx512f", "avx512_vnni", "avx512_bf16"}
AMX_FEATURES = {"amx_tile", "amx_bf16", "amx_int8"}
ARM_FEATURES = {"asimd", "asimddp", "bf16", "i8mm", "sve"}
FEATURES = frozenset(X86_FEATURES | AMX_FEATURES | ARM_FEATURES)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts that a plan or a report needs. `features` is None if the kernel does not report them."""

    system: str
    architecture: str
    cpu: str
    cores: int  # available to this process
    memory_bytes: int
    available_bytes: int
    features: frozenset[str] | None
    gcc: bool
    venv: bool  # whether Python can create virtual environments
    git: bool
    make: bool


def detect_machine(root: Path = Path("/")) -> Machine:
    """This machine in its present state; `root` is the directory of `proc`, `sys` and `etc`."""
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
    """The default dtype: bfloat16 if the processor supports it (AMX, AVX-512); emulated it is slower than float32."""
    return "bfloat16" if machine.features and machine.features & {"amx_bf16", "avx512_bf16"} else "float32"


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups (versions 2 and 1) that limit this process: its own and their ancestors."""
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = mount / path.strip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(mount))


def _number(text: str) -> int | None:
    """The integer in a control file; None for "max", an empty file, or -1, which all mean no limit."""
    return int(text) if text.strip().isdecimal() else None


def count_cores(root: Path = Path("/")) -> int:
    """The number of cores that this process can use: its CPU affinity, limited by its CPU quota; at least 1."""
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
    """Total and available bytes of memory, of the machine or the tightest control group."""
    meminfo = read_fields(root / "proc/meminfo")
    total = kibibytes(meminfo.get("MemTotal")) or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = kibibytes(meminfo.get("MemAvailable")) or total
    for group in _cgroups(root, "memory"):
        limit = _number(read_text(group / "memory.max") or read_text(group / "memory.limit_in_bytes"))
        if limit is None:
            continue
        used = _number(read_text(group / "memory.current") or read_text(group / "memory.usage_in_bytes")) or 0
        stat = read_fields(group / "memory.stat", separator=" ")  # inactive file pages are reclaimed on demand
        inactive_bytes = _number(stat.get("total_inactive_file") or stat.get("inactive_file") or "") or 0
        total = min(total, limit)
        available = max(0, min(available, limit - used + inactive_bytes))
    return total, available
