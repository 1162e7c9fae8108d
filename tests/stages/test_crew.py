"""As many workers as there are cores, while these change."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from cllm.progress import PlainReporter
from cllm.stages.crew import LOOK_SECONDS, Crew, place
from cllm.stages.session import Session, TrainOptions


class Place:
    """A machine whose cores change, and a sphere."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, workers: int | None = None) -> None:
        self.now, self.cores, self.resting, self.text = 0.0, {0, 1}, 0, io.StringIO()
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: self.cores)
        self.placed: list[tuple[int, set[int]]] = []
        monkeypatch.setattr("cllm.stages.crew.place", lambda pid, cores: self.placed.append((pid, cores)))
        monkeypatch.setattr("cllm.stages.crew.descendants", lambda pid: [7, 8])
        self.session = Session(tmp_path, TrainOptions(workers=workers), PlainReporter(self.text))
        self.session.cores = 2
        self.sphere = SimpleNamespace(workers=[None] * self.session.num_workers, resize=self.resize)
        remembering: Any = SimpleNamespace(num_resting=lambda: self.resting)
        self.crew = Crew(self.session, self.sphere, remembering, lambda: self.now)  # type: ignore[arg-type]

    def resize(self, num_workers: int) -> None:
        self.sphere.workers = [None] * num_workers

    def later(self) -> int:
        self.now += LOOK_SECONDS
        return self.crew.num_working()


def test_workers_join_and_leave_with_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    here = Place(monkeypatch, tmp_path)
    assert here.crew.num_working() == here.later() == 2 and not here.text.getvalue()
    here.cores = {1}
    assert here.crew.num_working() == 2, "it does not look at every step"
    assert here.later() == 1
    assert here.placed == [(7, {1}), (8, {1})], "and everybody goes there"
    assert "cores that can be used now: 1; workers: 1, not 2" in here.text.getvalue()
    here.cores = set(range(16))
    assert here.later() == 12
    here.resting = 1
    assert here.later() == 11
    here.cores = {3}
    assert here.later() == 1, "somebody works"


def test_the_number_that_the_user_asked_for_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    here = Place(monkeypatch, tmp_path, workers=3)
    here.cores = {1}
    assert here.later() == 3 and here.session.cores == 1


def test_a_process_is_placed_and_one_that_has_ended_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        core = min(os.sched_getaffinity(0))
        place(process.pid, {core})
        assert os.sched_getaffinity(process.pid) == {core}
    place(process.pid, {core})
