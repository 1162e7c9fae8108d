"""The time kept for the stages after the training, and the budget that it is part of."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cllm.progress import PlainReporter
from cllm.stages.job import Job, TrainOptions
from cllm.stages.memory_plan import MemoryPlan
from cllm.stages.reserve import SCORECARD_SHARE, UPDATE_SECONDS, UPDATE_SHARE, reserve_for


def job(tmp_path: Path, **options: Any) -> Job:
    return Job(tmp_path, TrainOptions(**options), PlainReporter(io.StringIO()))


def corpus(train_bytes: int, val_bytes: int) -> Any:
    return SimpleNamespace(train=[SimpleNamespace(bytes=train_bytes)], val=[SimpleNamespace(bytes=val_bytes)])


def test_reserve_grows_with_the_repository_and_falls_with_the_speed(tmp_path: Path) -> None:
    plan = MemoryPlan(alone=[], with_network=[0])
    small, large = (reserve_for(job(tmp_path, minutes=60), corpus(size, size // 10), plan) for size in (10**5, 10**7))
    assert 0 < small.total < large.total
    fast = reserve_for(job(tmp_path, minutes=60), corpus(10**7, 10**6), plan, speed=2.0)
    assert fast.total == pytest.approx(large.total / 2)


def test_update_and_scorecard_take_at_most_their_share_of_the_budget(tmp_path: Path) -> None:
    reserve = reserve_for(job(tmp_path, minutes=1), corpus(1, 10**9), MemoryPlan(alone=[], with_network=[]))
    assert reserve.scorecard == SCORECARD_SHARE * 60
    assert reserve.update == UPDATE_SECONDS + UPDATE_SHARE * 60


def test_limit_of_a_stage_leaves_the_reserve_and_is_never_negative(tmp_path: Path) -> None:
    one = job(tmp_path, minutes=1)
    assert one.seconds_before(20.0) == pytest.approx(40.0, abs=1.0)
    assert one.seconds_before(100.0) == 0.0
    assert job(tmp_path, steps=5).seconds_before(20.0) is None, "a run of a number of steps has no budget"


def test_resumed_run_keeps_its_options_and_has_time_for_the_rest(tmp_path: Path) -> None:
    resumed = job(tmp_path, minutes=5, seed=3)
    resumed.adopt_options({"minutes": 0.5, "steps": None, "seed": 1, "plan": None, "config": None})
    assert (resumed.options.minutes, resumed.options.seed) == (0.5, 1)
    resumed.seconds_before_resume = 100.0
    assert resumed.seconds_left < 0
    resumed.extend_budget(20.0)
    assert resumed.seconds_left == pytest.approx(20.0, abs=0.5)
    resumed.extend_budget(5.0)
    assert resumed.seconds_left == pytest.approx(20.0, abs=0.5)


@pytest.mark.parametrize(
    ("given", "unused"),
    [
        ({}, []),
        ({"minutes": 1.0}, []),  # as the run
        ({"minutes": 2.0}, ["--minutes"]),
        ({"minutes": 1.0, "seed": 4, "steps": 9}, ["--steps", "--seed"]),
    ],
)
def test_only_options_that_differ_from_those_of_the_run_are_unused(given: dict[str, Any], unused: list[str]) -> None:
    options_of_run = TrainOptions(minutes=1.0).new_run_options
    assert TrainOptions(**given).unused_options(options_of_run) == unused
