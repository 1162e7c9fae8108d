"""The number of workers follows the available cores."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from cllm.progress import PlainReporter
from cllm.stages.job import Job, TrainOptions
from cllm.stages.worker_scaler import POLL_SECONDS, WorkerScaler, set_affinity


class FakeMachine:
    """A machine whose available cores change, with a sphere and a worker scaler."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, workers: int | None = None) -> None:
        self.now, self.cores, self.num_idle, self.text = 0.0, {0, 1}, 0, io.StringIO()
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: self.cores)
        self.affinities: list[tuple[int, set[int]]] = []
        monkeypatch.setattr(
            "cllm.stages.worker_scaler.set_affinity", lambda pid, cores: self.affinities.append((pid, cores))
        )
        monkeypatch.setattr("cllm.stages.worker_scaler.descendants", lambda pid: [7, 8])
        self.job = Job(tmp_path, TrainOptions(workers=workers), PlainReporter(self.text))
        self.job.cores = 2
        self.sphere = SimpleNamespace(workers=[None] * self.job.num_workers, resize=self.resize)
        memory_build: Any = SimpleNamespace(num_idle=lambda: self.num_idle)
        self.worker_scaler = WorkerScaler(self.job, self.sphere, memory_build, lambda: self.now)  # type: ignore[arg-type]

    def resize(self, num_workers: int) -> None:
        self.sphere.workers = [None] * num_workers

    def poll_later(self) -> int:
        self.now += POLL_SECONDS
        return self.worker_scaler.num_active()


def test_number_of_active_workers_follows_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    machine = FakeMachine(monkeypatch, tmp_path)
    assert machine.worker_scaler.num_active() == machine.poll_later() == 2 and not machine.text.getvalue()
    machine.cores = {1}
    assert machine.worker_scaler.num_active() == 2, "the cores are polled at intervals only"
    assert machine.poll_later() == 1
    assert machine.affinities == [(7, {1}), (8, {1})], "all processes are moved to the remaining core"
    assert "available cores: 1; workers: 1, before 2" in machine.text.getvalue()
    machine.cores = set(range(16))
    assert machine.poll_later() == 12
    machine.num_idle = 1
    assert machine.poll_later() == 11
    machine.cores = {3}
    assert machine.poll_later() == 1, "at least one worker is active"


def test_requested_number_of_workers_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    machine = FakeMachine(monkeypatch, tmp_path, workers=3)
    machine.cores = {1}
    assert machine.poll_later() == 3 and machine.job.cores == 1


def test_set_affinity_moves_a_process_and_ignores_an_ended_one() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        core = min(os.sched_getaffinity(0))
        set_affinity(process.pid, {core})
        assert os.sched_getaffinity(process.pid) == {core}
    set_affinity(process.pid, {core})
