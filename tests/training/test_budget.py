"""The wall-clock budget: amendments of the plan on machines that are slower or faster than measured."""

import dataclasses
from collections.abc import Callable

import pytest

from cllm.training.budget import AMEND_INTERVAL_SECONDS, Budget
from cllm.training.plan import Plan, timeline


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(
    plan: Plan,
    seconds_of: dict[int, float],
    slowdown: Callable[[float], float] = lambda used: 1.0,
) -> tuple[Plan, float]:
    """Simulate a run with `seconds_of` seconds per step of each phase, times `slowdown` of the seconds used so far.

    Returns the plan at the end and the seconds used.
    """
    clock = Clock()
    budget = Budget(0.0, clock=clock)
    step, before = 0, 0.0
    while True:
        plan = budget.amend(plan, step)
        if step >= plan.steps:
            return plan, budget.used_seconds
        seconds = seconds_of[timeline(plan)[step].phase] * slowdown(budget.used_seconds)
        clock.now += seconds
        step += 1
        progress = timeline(plan)[step].progress if step < plan.steps else 1.0
        budget.record(progress - before, seconds)
        before = progress


def long_plan(plan: Plan) -> Plan:
    """100 steps of 1 s and 40 of 5 s: 300 s in all."""
    first, second = plan.phases
    phases = (dataclasses.replace(first, until=1 / 3, steps=100), dataclasses.replace(second, steps=40))
    return dataclasses.replace(plan, phases=phases, seconds=300.0)


def test_plan_is_unchanged_at_the_measured_speed(plan: Plan) -> None:
    final_plan, used = run(long_plan(plan), {0: 1.0, 1: 5.0})
    assert final_plan.amendments == () and used == 300.0


def test_half_speed_gives_half_the_steps_in_the_same_time(plan: Plan) -> None:
    final_plan, used = run(long_plan(plan), {0: 2.0, 1: 10.0})
    assert final_plan.amendments and 290 <= used <= 312
    assert 65 <= final_plan.steps <= 75


def test_slower_last_phase_still_ends_in_time(plan: Plan) -> None:
    final_plan, used = run(long_plan(plan), {0: 1.0, 1: 8.0})
    assert 290 <= used <= 312
    assert timeline(final_plan)[-1].progress > 0.9


def test_double_speed_gives_more_steps_in_the_same_time(plan: Plan) -> None:
    final_plan, used = run(long_plan(plan), {0: 0.5, 1: 2.5})
    assert final_plan.amendments and 285 <= used <= 312
    assert final_plan.steps > 200


@pytest.mark.parametrize("max_steps, steps", [(140, 140), (150, 150), (100, 140)])
def test_steps_are_limited_by_max_steps(plan: Plan, max_steps: int, steps: int) -> None:
    final_plan, used = run(dataclasses.replace(long_plan(plan), max_steps=max_steps), {0: 0.5, 1: 2.5})
    assert final_plan.steps == steps and used < 200
    assert len(final_plan.amendments) == (steps != 140), "an amendment changes the number of steps"


def test_slower_machine_keeps_the_steps_if_there_is_time(plan: Plan) -> None:
    bound_by_steps = dataclasses.replace(long_plan(plan), seconds=3600.0, max_steps=140)
    final_plan, used = run(bound_by_steps, {0: 2.0, 1: 10.0})
    assert final_plan.steps == 140 and used == 600.0


def test_plan_is_lengthened_also_in_the_last_phase(plan: Plan) -> None:
    first, second = plan.phases
    phases = (dataclasses.replace(first, until=0.6, steps=180), dataclasses.replace(second, steps=24))
    final_plan, used = run(dataclasses.replace(plan, phases=phases, seconds=300.0), {0: 1.0, 1: 2.0})
    assert final_plan.amendments[0].step > 180 and final_plan.steps > 220 and 285 <= used <= 312


def test_run_with_a_temporary_slowdown_uses_its_time(plan: Plan) -> None:
    plan = dataclasses.replace(long_plan(plan), seconds=3600.0)
    _, used = run(plan, {0: 12.0, 1: 12.0}, lambda used: 10.0 if 800 < used < 2000 else 1.0)
    assert 3300 <= used <= 3800


def test_time_of_other_work_is_subtracted_from_the_budget(plan: Plan) -> None:
    clock = Clock()
    budget = Budget(0.0, lambda seconds: min(seconds, 300.0) / 2, clock=clock)
    for _ in range(24):
        clock.now += 1.0
        budget.record(1 / 300, 1.0)
    amended = budget.amend(long_plan(plan), 24)
    assert len(amended.amendments) == 1 and amended.amendments[0].remaining in (57, 58)  # half of 116, up to rounding


def test_run_without_a_budget_is_never_amended(plan: Plan) -> None:
    final_plan, _ = run(dataclasses.replace(long_plan(plan), seconds=None), {0: 100.0, 1: 100.0})
    assert final_plan.steps == 140


def test_plan_is_checked_at_most_once_per_interval(plan: Plan) -> None:
    clock = Clock()
    budget = Budget(290.0, clock=clock)
    budget.record(0.01, 60.0)
    assert budget.amend(long_plan(plan), 10) is not None
    clock.now += AMEND_INTERVAL_SECONDS / 2
    assert budget.amend(long_plan(plan), 10).amendments == ()
    clock.now += AMEND_INTERVAL_SECONDS
    assert len(budget.amend(long_plan(plan), 10).amendments) == 1
