"""What this machine has, and what a tree of processes takes of it.

What it has is read from Linux's `/proc` and `/sys/fs/cgroup`, so that a container's share counts and not its host's
whole. What cannot be read is unknown (None), and a limit that cannot be read is none. Left out: accelerators, other
operating systems, and any choice of model or batch (the training plan makes it).
"""

import contextlib
import ctypes
import importlib.util
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

# Instruction sets that decide the speed of small matrices: as Linux names them.
X86_FEATURES = {"avx2", "fma", "f16c", "avx_vnni", "avx_ne_convert", "avx512f", "avx512_vnni", "avx512_bf16"}
X86_TILE_FEATURES = {"amx_tile", "amx_bf16", "amx_int8"}
ARM_FEATURES = {"asimd", "asimddp", "bf16", "i8mm", "sve"}
FEATURES = frozenset(X86_FEATURES | X86_TILE_FEATURES | ARM_FEATURES)


def return_memory() -> None:
    """Give back to the system what this process has freed and its C library keeps."""
    with contextlib.suppress(AttributeError):  # a C library other than GNU's
        ctypes.CDLL(None).malloc_trim(0)


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


def describe(root: Path = Path("/")) -> Machine:
    """This machine as it is now; `root` is where `proc`, `sys` and `etc` lie."""
    cpuinfo = _fields(root / "proc/cpuinfo")
    flags = cpuinfo.get("flags") or cpuinfo.get("Features")  # x86, ARM
    release = _fields(root / "etc/os-release", separator="=").get("PRETTY_NAME", "").strip('"')
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


def _read(path: Path) -> str:
    """The text of a kernel file, empty if it is not there (or the process that it is about has ended)."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _fields(path: Path, separator: str = ":") -> dict[str, str]:
    """`name: value` lines as a dictionary; of a name that repeats (one block per core) the first."""
    fields: dict[str, str] = {}
    for line in _read(path).splitlines():
        name, found, value = line.partition(separator)
        if found:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups that limit this process, of version 2 and 1: its own, and those around it."""
    for line in _read(root / "proc/self/cgroup").splitlines():
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
        quota, _, period = _read(group / "cpu.max").partition(" ")
        quota = quota or _read(group / "cpu.cfs_quota_us")
        period = period or _read(group / "cpu.cfs_period_us")
        paid, every = _number(quota), _number(period)
        if paid is not None and every:
            cores = min(cores, paid // every)
    return max(cores, 1)


def _memory(root: Path) -> tuple[int, int]:
    """Bytes of memory in total and available, of the machine or of the tightest control group."""
    meminfo = _fields(root / "proc/meminfo")
    total = _kibibytes(meminfo.get("MemTotal")) or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = _kibibytes(meminfo.get("MemAvailable")) or total
    for group in _cgroups(root, "memory"):
        limit = _number(_read(group / "memory.max") or _read(group / "memory.limit_in_bytes"))
        if limit is None:
            continue
        used = _number(_read(group / "memory.current") or _read(group / "memory.usage_in_bytes")) or 0
        stat = _fields(group / "memory.stat", separator=" ")  # file pages not in use are given back on demand
        idle = _number(stat.get("total_inactive_file") or stat.get("inactive_file") or "") or 0
        total = min(total, limit)
        available = max(0, min(available, limit - used + idle))
    return total, available


def _kibibytes(text: str | None) -> int:
    """Bytes of a field like "12 kB"; 0 if it is absent."""
    return int(text.split()[0]) * 1024 if text else 0


def proportional_set_size(pids: Iterable[int]) -> int:
    """Bytes of memory that these processes hold together, shared pages counted once (PSS).

    A process that has ended, or that belongs to someone else, counts nothing.
    """
    return sum(_kibibytes(_fields(Path(f"/proc/{pid}/smaps_rollup")).get("Pss")) for pid in pids)


def written_set_size(pids: Iterable[int]) -> int:
    """The part of PSS that is no page of a file.

    What other processes read of the same files makes PSS less (PyTorch's pages: 879 MB became 754 beside another
    training), and leaves this as it is. A kernel that does not tell them apart (before Linux 5.4) gives PSS.
    """
    rollups = [_fields(Path(f"/proc/{pid}/smaps_rollup")) for pid in pids]
    names = ("Pss_Anon", "Pss_Shmem") if all("Pss_Anon" in rollup for rollup in rollups if rollup) else ("Pss",)
    return sum(_kibibytes(rollup.get(name)) for rollup in rollups for name in names)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (the second, a name, may hold anything); empty if it has ended."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def descendants(pid: int) -> list[int]:
    """The processes that `pid` started, that those started, and so on, `pid` itself left out."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found = list(children.get(pid, ()))
    for parent in found:  # grows while it is walked
        found += children.get(parent, ())
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor seconds (user and system) that these processes have used, without their ended children."""
    ticks = sum(int(stat[11]) + int(stat[12]) for pid in pids if (stat := _stat(pid)))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """What a process has in memory, what it shares included; 0 if it has ended. Unlike PSS it costs nothing to ask."""
    fields = _read(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


class MemorySampler:
    """Watches a tree of processes from a thread: `peak_bytes` is the most memory (PSS) that a sample saw.

    A peak shorter than `seconds` may be missed, and a longer one where a sample takes long: samples have a hundredth of
    a core. (A process with 600 MB in 4 kB pages took 13 ms, finding the tree among 73 processes 3 ms, a run with 1.5 GB
    50 ms: EPYC, 2026-11.)
    """

    def __init__(self, pid: int | None = None, seconds: float = 1.0) -> None:
        self.pid = os.getpid() if pid is None else pid
        self.seconds = seconds
        self.peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-sampler", daemon=True)

    def sample(self) -> None:
        """Look once."""
        self.peak_bytes = max(self.peak_bytes, proportional_set_size([self.pid, *descendants(self.pid)]))

    def _watch(self) -> None:
        pause = self.seconds
        while not self._ended.wait(pause):
            began = time.thread_time()
            self.sample()
            pause = self.pause_after(time.thread_time() - began)

    def pause_after(self, seconds: float) -> float:
        """How long to wait after a sample that took so many seconds of a core."""
        return max(self.seconds, 100 * seconds)

    def __enter__(self) -> Self:
        self.sample()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self.sample()
