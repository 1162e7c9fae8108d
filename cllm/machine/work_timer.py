"""Work within a time limit: whether the time that is left suffices for more, at the speed so far."""

import math
import time
from collections.abc import Callable


class WorkTimer:
    """Counts finished work, in any unit, and the time since its start."""

    def __init__(
        self, seconds: float | None, expected_rate: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`seconds`: the limit, or None. `expected_rate`: units per second, used until some work is finished."""
        self._clock, self._began, self._expected_rate = clock, clock(), expected_rate
        self._seconds = math.inf if seconds is None else seconds
        self.done = 0.0

    @property
    def elapsed_seconds(self) -> float:
        return self._clock() - self._began

    def add(self, units: float) -> None:
        """Count work as finished."""
        self.done += units

    def has_time_for(self, units: float) -> bool:
        """Whether `units` more would be finished within the limit."""
        elapsed = self.elapsed_seconds
        rate = self.done / elapsed if self.done and elapsed > 0 else self._expected_rate
        return elapsed + units / rate <= self._seconds
