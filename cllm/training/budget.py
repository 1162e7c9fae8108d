"""Wall-clock budget: adjust the number of remaining steps when the machine is slower or faster than measured.

A run with a budget is checked every 10 s. If its remaining steps, at the recent speed, would end after the budget, the
plan is amended to as many as fit; if they would end well before it, to more, up to the plan's `max_steps`.

Some workers can be idle for a time while their cores do other work. A step's recorded duration is what it would have
been with all workers, and the time that the other work still needs is subtracted from the budget.
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
    """Amends a plan with a budget of `plan.seconds` of training, of which `used_seconds` are used already."""

    def __init__(
        self,
        used_seconds: float,
        other_work_seconds: Callable[[float], float] = lambda seconds: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`other_work_seconds`: seconds of all workers' time that other work will take in the next `seconds`."""
        self._clock, self._other_work_seconds = clock, other_work_seconds
        self._started_at = clock() - used_seconds
        self._last_check = clock()
        self._recent: deque[tuple[float, float]] = deque(maxlen=SPEED_STEPS)  # (progress, seconds) of recent steps

    @property
    def used_seconds(self) -> float:
        """Seconds of training so far, including those before a resume."""
        return self._clock() - self._started_at

    def record(self, progress: float, seconds: float) -> None:
        """Record a step's progress, and its seconds as they are or would be with all workers."""
        self._recent.append((progress, seconds))

    def seconds_left(self, plan: Plan) -> float:
        """Seconds that remain of the plan's budget; the plan must have one."""
        assert plan.seconds is not None
        return max(0.0, plan.seconds - self.used_seconds)

    def amend(self, plan: Plan, step: int) -> Plan:
        """The plan, or a copy amended to fewer or more steps from `step` on."""
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
        self._recent.clear()  # progress per step is different from here on
        return dataclasses.replace(plan, amendments=(*plan.amendments, Amendment(step=step, remaining=remaining)))
