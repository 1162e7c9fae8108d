"""Work beside others."""

import os
import threading

import pytest

from cllm.memory.pace import GRACE, Pace


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_on_time_it_yields_and_late_it_does_not() -> None:
    clock = Clock()
    with Pace(100.0, clock) as pace:
        assert pace.on_time(0.0)
        clock.now += 100 * GRACE + 1
        assert not pace.on_time(0.0) and pace.on_time(0.1)
        threads = [pace.run(threading.get_ident, done) for done in (0.0, 0.5)]
    assert threads[0] == threading.get_ident() != threads[1]


def test_work_without_time_never_yields() -> None:
    with Pace(0.0) as pace:
        assert pace.run(threading.get_ident, 0.0) == threading.get_ident()


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="a system without an idle class")
def test_who_yields_is_of_the_idle_class_and_nobody_else() -> None:
    with Pace(1000.0) as pace:
        assert pace.run(lambda: os.sched_getscheduler(0), 0.0) == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_what_goes_wrong_in_a_part_is_raised() -> None:
    def part() -> None:
        raise ValueError("wrong")

    for seconds in (0.0, 1000.0):
        with Pace(seconds) as pace, pytest.raises(ValueError, match="wrong"):
            pace.run(part, 0.0)
