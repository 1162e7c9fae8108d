"""Work within a time limit, with a clock that the test sets."""

import pytest

from cllm.machine import WorkTimer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_limit_there_is_always_time() -> None:
    timer = WorkTimer(None)
    timer.add(1)
    assert timer.has_time_for(1e30)


@pytest.mark.parametrize(("units", "fits"), [(49, True), (51, False)])
def test_expected_rate_counts_until_work_is_finished(units: float, fits: bool) -> None:
    assert WorkTimer(5, expected_rate=10, clock=Clock()).has_time_for(units) == fits


@pytest.mark.parametrize(("units", "fits"), [(19, True), (21, False)])
def test_measured_rate_replaces_the_expected_one(units: float, fits: bool) -> None:
    clock = Clock()
    timer = WorkTimer(15, expected_rate=1000, clock=clock)
    clock.now += 5
    timer.add(10)  # 2 units per second, and 10 seconds are left
    assert timer.has_time_for(units) == fits


def test_there_is_no_time_after_the_limit() -> None:
    clock = Clock()
    timer = WorkTimer(1, clock=clock)
    clock.now += 2
    assert not timer.has_time_for(0)
