"""Keeping to the wall clock: where the machine is not as fast as it was measured, more or fewer steps are left.

A run that has a budget is looked at every few seconds. If the rest of its steps, at the speed of late, would end after
the budget, the plan is amended to as many as fit; if they would end well before it, to as many more, as far as the plan
finds them worth it.

For a time some of the workers may rest, whose cores do other work. What counts is how long a step would have taken all
of them, and the part of their time that the other work is still going to take is no time of theirs.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Callable

from cllm.training.plan import Amendment, Plan, timeline

AMEND_INTERVAL_SECONDS = 10.0
TOLERANCE = 1.02  # a run may end this much after its budget before it is shortened
SLACK = 0.95  # a run may end at this share of its budget before it is lengthened
SPEED_STEPS = 24


class Budget:
    """Amends a plan with `seconds` of training, of which `used_seconds` are gone."""

    def __init__(
        self,
        used_seconds: float,
        other_work_seconds: Callable[[float], float] = lambda seconds: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`other_work_seconds`: what of all workers' time in the next so many seconds other work is going to take."""
        self._clock, self._other_work_seconds = clock, other_work_seconds
        self._started_at = clock() - used_seconds
        self._last_check = clock()
        self._recent: deque[tuple[float, float]] = deque(maxlen=SPEED_STEPS)  # (progress, seconds) of late steps

    @property
    def used_seconds(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self._clock() - self._started_at

    def record(self, progress: float, seconds: float) -> None:
        """Note how far a step went and how long it took, or would have taken all workers."""
        self._recent.append((progress, seconds))

    def seconds_left(self, plan: Plan) -> float:
        """Seconds that are left of a plan that has a budget."""
        assert plan.seconds is not None
        return max(0.0, plan.seconds - self.used_seconds)

    def amend(self, plan: Plan, step: int) -> Plan:
        """The plan, or one with fewer or more steps from `step` on."""
        if plan.seconds is None or not self._recent or self._clock() - self._last_check < AMEND_INTERVAL_SECONDS:
            return plan
        self._last_check = self._clock()
        rest = timeline(plan)[step:]
        # Progress is planned time, so seconds for progress holds across phases of longer and shorter steps.
        seconds_for_all = sum(seconds for _, seconds in self._recent) / sum(part for part, _ in self._recent)
        needed = seconds_for_all * (1 - rest[0].progress) if rest else 0.0
        seconds_left = self.seconds_left(plan)
        seconds_left -= self._other_work_seconds(seconds_left)
        if len(rest) <= 1 or seconds_left * SLACK - 1.0 <= needed <= seconds_left * TOLERANCE + 1.0:
            return plan
        remaining = max(1, int(len(rest) * seconds_left / needed))
        if plan.max_steps is not None:
            remaining = min(remaining, max(len(rest), plan.max_steps - step))
        if remaining == len(rest):
            return plan
        self._recent.clear()  # a step goes further from here on
        return dataclasses.replace(plan, amendments=(*plan.amendments, Amendment(step=step, remaining=remaining)))
