"""As many workers as there are cores, while these change."""

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
    """A machine whose cores change, and a sphere."""

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


def test_workers_join_and_leave_with_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    here = FakeMachine(monkeypatch, tmp_path)
    assert here.worker_scaler.num_active() == here.poll_later() == 2 and not here.text.getvalue()
    here.cores = {1}
    assert here.worker_scaler.num_active() == 2, "it does not look at every step"
    assert here.poll_later() == 1
    assert here.affinities == [(7, {1}), (8, {1})], "and everybody goes there"
    assert "available cores: 1; workers: 1, before 2" in here.text.getvalue()
    here.cores = set(range(16))
    assert here.poll_later() == 12
    here.num_idle = 1
    assert here.poll_later() == 11
    here.cores = {3}
    assert here.poll_later() == 1, "somebody works"


def test_the_number_that_the_user_asked_for_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    here = FakeMachine(monkeypatch, tmp_path, workers=3)
    here.cores = {1}
    assert here.poll_later() == 3 and here.job.cores == 1


def test_a_process_is_placed_and_one_that_has_ended_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        core = min(os.sched_getaffinity(0))
        set_affinity(process.pid, {core})
        assert os.sched_getaffinity(process.pid) == {core}
    set_affinity(process.pid, {core})
