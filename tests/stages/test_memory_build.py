"""The memory build: which workers are idle meanwhile, how much of their time it takes, and its results."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cllm.spheres import WorkerLost
from cllm.stages.job import Job
from cllm.stages.memory_build import MemoryBuild
from cllm.stages.memory_plan import MemoryPlan
from cllm.stages.trained_model import TrainedModel
from cllm.workspace.run import Run

CORPUS: Any = None  # not used here
PLAN = MemoryPlan(alone=[], with_network=[])


def job(num_workers: int, cores: int) -> Any:
    """The attributes of a job that the memory build reads."""
    made = SimpleNamespace(num_workers=num_workers, cores=cores, listen=None, start_phase=lambda name: None)
    made.levels = Job.levels.fget(made)  # type: ignore[attr-defined]
    made.num_idle = Job.num_idle.fget(made)  # type: ignore[attr-defined]
    made.memory_build_share = Job.memory_build_share.fget(made)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("num_workers", "cores", "num_idle", "share"),
    [
        (1, 1, 0, 1 / 2),  # the only worker shares its core
        (1, 2, 0, 0),
        (2, 2, 1, 1 / 2),
        (2, 3, 0, 0),
        (3, 2, 2, 2 / 3),  # three on two cores: one is left to the memory
        (4, 4, 1, 1 / 4),
        (5, 5, 1, 0),  # five or four, a step is three rounds
        (12, 12, 1, 1 / 2),  # eleven take two rounds
        (12, 16, 0, 0),
        (13, 16, 0, 1 / 16),  # with two levels none is idle
        (13, 2, 0, 1 / 2),
    ],
)
def test_one_core_is_left_to_the_memory_build(num_workers: int, cores: int, num_idle: int, share: float) -> None:
    made = job(num_workers, cores)
    assert made.num_idle == num_idle and made.memory_build_share == pytest.approx(share)


def test_workers_are_idle_until_the_build_is_finished() -> None:
    memory_build = MemoryBuild(job(2, 2), Run(Path("nowhere")), CORPUS, {})  # type: ignore[arg-type]
    assert memory_build.num_idle() == 0 and memory_build.lost_seconds(100.0) == 0.0
    answered = False
    sphere = SimpleNamespace(has_result=lambda: answered, wait_result=lambda: {"seconds": 1.0})
    memory_build._sphere = sphere  # type: ignore[assignment]
    memory_build._builds_until = time.monotonic() + 1000.0
    assert memory_build.num_idle() == 1
    assert memory_build.lost_seconds(60.0) == 30.0, "no more than there is"
    assert memory_build.lost_seconds(5000.0) == pytest.approx(500.0, abs=5.0)
    memory_build._builds_until = time.monotonic() - 1.0
    assert memory_build.lost_seconds(60.0) == 0.0, "it is late, by an unknown time"
    answered = True
    assert memory_build.num_idle() == 0


def build_answering(answer: dict[str, float] | WorkerLost, monkeypatch: pytest.MonkeyPatch) -> MemoryBuild:
    """A memory build whose process has just answered."""

    def wait_result() -> dict[str, float]:
        if isinstance(answer, WorkerLost):
            raise answer
        return answer

    memory_build = MemoryBuild(job(2, 2), Run(Path("nowhere")), CORPUS, {})  # type: ignore[arg-type]
    memory_build._sphere = SimpleNamespace(has_result=lambda: True, wait_result=wait_result)  # type: ignore[assignment]
    monkeypatch.setattr(memory_build, "_start", lambda plan, first_bytes: None)
    return memory_build


@pytest.mark.parametrize(
    ("size", "seconds", "speed"),
    [(96_000, 1, 1), (192_000, 2, 2), (192_000, 8, 0.5), (480_000, 20, 0.5), (9_600_000, 1, 3), (10, 0, 1), (0, 0, 1)],
)
def test_calibration_returns_the_speed_relative_to_the_constants(
    size: int, seconds: float, speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_build = build_answering({"bits": 1.0, "bytes": size, "seconds": seconds}, monkeypatch)
    assert memory_build.calibrate(PLAN) == speed
    assert not memory_build._is_building() and memory_build._alone == {
        "bits": 2.0,
        "bytes": 2 * size,
        "seconds": 2 * seconds,
    }


def test_a_lost_build_process_is_reported_when_the_build_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    memory_build = build_answering(WorkerLost("killed"), monkeypatch)
    assert memory_build.num_idle() == 0
    with pytest.raises(WorkerLost, match="killed"):
        memory_build.finish(PLAN, TrainedModel(dtype="float32", weights_sha256=""))
