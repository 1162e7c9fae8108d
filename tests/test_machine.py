"""Detection of hardware and cgroup limits, and memory and CPU accounting of processes."""

import gc
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cllm.machine import (
    MemorySampler,
    anonymous_set_size,
    cpu_seconds,
    default_dtype,
    descendants,
    detect_machine,
    proportional_set_size,
    resident_bytes,
)

ENDED = 2**22 + 1  # above the largest PID of Linux

CPUINFO = """processor	: 0
model name	: Some CPU @ 2 GHz
flags		: fpu avx2 fma avx512f avx512_bf16 unheard_of

processor	: 1
model name	: Another
flags		: fpu
"""


def _write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_detect_machine_describes_this_machine() -> None:
    here = detect_machine()
    assert here.cores == min(here.cores, len(os.sched_getaffinity(0)))
    assert 0 < here.available_bytes <= here.memory_bytes
    assert here.architecture
    assert here.system.endswith(os.uname().release)
    assert default_dtype(here) in ("bfloat16", "float32")


def test_cpu_model_and_features_come_from_the_first_core(tmp_path: Path) -> None:
    here = detect_machine(
        _write_files(tmp_path, {"proc/cpuinfo": CPUINFO, "etc/os-release": 'NAME=x\nPRETTY_NAME="Some OS 1"\n'})
    )
    assert here.cpu == "Some CPU @ 2 GHz"
    assert here.features == frozenset({"avx2", "fma", "avx512f", "avx512_bf16"})
    assert here.system.startswith("Some OS 1, Linux ")


def test_arm_features_are_read(tmp_path: Path) -> None:
    here = detect_machine(_write_files(tmp_path, {"proc/cpuinfo": "processor : 0\nFeatures : fp asimd bf16\n"}))
    assert here.features == frozenset({"asimd", "bf16"})
    assert default_dtype(here) == "float32"


def test_unreadable_proc_gives_defaults(tmp_path: Path) -> None:
    here = detect_machine(tmp_path)
    assert here.features is None
    assert here.cpu == "unknown"
    assert here.cores == len(os.sched_getaffinity(0))
    assert here.memory_bytes == here.available_bytes > 0
    assert default_dtype(here) == "float32"


@pytest.mark.parametrize(
    ("features", "dtype"),
    [
        ({"avx512_bf16"}, "bfloat16"),
        ({"amx_bf16", "avx2"}, "bfloat16"),
        ({"avx2", "avx512f", "avx_ne_convert"}, "float32"),
        (set(), "float32"),
    ],
)
def test_default_dtype_is_bfloat16_only_with_hardware_support(features: set[str], dtype: str) -> None:
    assert default_dtype(replace(detect_machine(), features=frozenset(features))) == dtype


MEMINFO = "MemTotal:    1000000 kB\nMemFree: 1 kB\nMemAvailable:    800000 kB\n"
VERSION_2 = {
    "proc/meminfo": MEMINFO,
    "proc/self/cgroup": "0::/outer/inner\n",
    "sys/fs/cgroup/outer/memory.max": "600000000\n",
    "sys/fs/cgroup/outer/memory.current": "300000000\n",
    "sys/fs/cgroup/outer/memory.stat": "anon 5\ninactive_file 100000000\n",
    "sys/fs/cgroup/outer/inner/memory.max": "max\n",
    "sys/fs/cgroup/outer/inner/memory.current": "1\n",
    "sys/fs/cgroup/outer/cpu.max": "max 100000\n",
    "sys/fs/cgroup/outer/inner/cpu.max": "250000 100000\n",
}
VERSION_1 = {
    "proc/meminfo": MEMINFO,
    "proc/self/cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "600000000\n",
    "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "300000000\n",
    "sys/fs/cgroup/memory/job/memory.stat": "inactive_file 7\ntotal_inactive_file 100000000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "250000\n",
    "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1], ids=["cgroup2", "cgroup1"])
def test_cgroup_limits_cores_and_memory(files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    here = detect_machine(_write_files(tmp_path, files))
    assert here.cores == 2  # of a quota of 2.5
    assert here.memory_bytes == 600_000_000
    assert here.available_bytes == 400_000_000


def test_quota_below_one_core_counts_as_one(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}
    assert detect_machine(_write_files(tmp_path, files)).cores == 1


def test_cores_respect_cpu_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7, 11})
    assert detect_machine(tmp_path).cores == 3


def test_programs_are_looked_up_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gcc").write_bytes(b"")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    here = detect_machine()
    assert (here.gcc, here.git, here.make) == (True, False, False)


def test_import_does_not_load_torch() -> None:
    code = "import sys, cllm.machine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def _wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_ended_process_counts_as_zero() -> None:
    assert proportional_set_size([ENDED]) == 0
    assert cpu_seconds([ENDED]) == 0
    assert descendants(ENDED) == []
    assert proportional_set_size([ENDED, os.getpid()]) > 1_000_000
    assert anonymous_set_size([ENDED]) == resident_bytes(ENDED) == 0


def test_anonymous_set_size_excludes_file_mappings(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(20_000_000))
    pid = os.getpid()
    before, resident = anonymous_set_size([pid]), resident_bytes(pid)
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        assert sum(pages[::4096]) == 0
        assert resident_bytes(pid) > resident + 15_000_000
        assert abs(anonymous_set_size([pid]) - before) < 5_000_000
    with mmap.mmap(-1, 20_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        pages[::4096] = b"x" * len(range(0, 20_000_000, 4096))
        assert anonymous_set_size([pid]) > before + 15_000_000
        assert 0 < anonymous_set_size([ENDED, pid]) < proportional_set_size([pid])


def test_descendants_include_grandchildren_and_not_the_process_itself() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "sleep 600 & wait"]) as shell:
        try:
            assert _wait_until(lambda: len(descendants(shell.pid)) == 1)
            sleeper = descendants(shell.pid)
            assert {shell.pid, *sleeper} <= set(descendants(os.getpid()))
            assert os.getpid() not in descendants(os.getpid())
        finally:
            for pid in (*descendants(shell.pid), shell.pid):
                os.kill(pid, 9)


def test_process_name_with_spaces_and_parentheses_is_parsed(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 ("
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "600"]) as process:
        try:
            assert process.pid in descendants(os.getpid())
            assert cpu_seconds([process.pid]) < 5
        finally:
            process.kill()


def test_cpu_seconds_match_process_time() -> None:
    begin, clock = cpu_seconds([os.getpid()]), time.process_time()
    while time.process_time() - clock < 0.3:
        pass
    assert cpu_seconds([os.getpid()]) - begin == pytest.approx(0.3, abs=0.1)


def test_sampler_keeps_the_peak_after_memory_is_freed() -> None:
    gc.collect()  # garbage of other tests must not be freed during the measurement
    with MemorySampler(interval_seconds=0.01) as memory:
        before = memory.peak_bytes
        assert before > 1_000_000
        block = bytearray(b"x") * 64_000_000
        assert _wait_until(lambda: memory.peak_bytes > before + 60_000_000)
        del block
    assert memory.peak_bytes > before + 60_000_000


def test_sampler_counts_child_processes() -> None:
    code = "import sys; block = bytearray(b'x') * 64_000_000; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        alone = proportional_set_size([os.getpid()])
        child.stdout.readline()
        with MemorySampler(interval_seconds=60) as memory:
            assert memory.peak_bytes > alone + 50_000_000


def test_sampler_pauses_100_times_as_long_as_a_sample_takes() -> None:
    memory = MemorySampler(interval_seconds=1.0)
    assert memory.pause_seconds_after(0.005) == 1.0 and memory.pause_seconds_after(0.05) == pytest.approx(5.0)


def test_sampler_thread_ends_with_the_context() -> None:
    with pytest.raises(ZeroDivisionError), MemorySampler(interval_seconds=600) as memory:
        raise ZeroDivisionError
    assert not memory._thread.is_alive()


def test_trim_heap_returns_freed_memory_to_the_system() -> None:
    code = """
import os
from cllm.machine import proportional_set_size, trim_heap
blocks = [bytes([number % 256]) * 100_000 for number in range(1000)]  # below the mmap threshold
last = bytes(100_001)  # on top of the heap: without malloc_trim, nothing below it is returned
held = proportional_set_size([os.getpid()])
del blocks
assert proportional_set_size([os.getpid()]) > held - 20_000_000
trim_heap()
assert proportional_set_size([os.getpid()]) < held - 80_000_000
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
