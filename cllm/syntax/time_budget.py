"""Time limits for checks that an editor waits for: a check that is cut short proves nothing.

The clock is the thread's processor time, so that a loaded machine does not change what a completion says.
"""

import math
import time
from collections.abc import Callable


class TimeBudget:
    """Seconds that some checks may take together; the clock starts with the first question after `restart`."""

    def __init__(self, seconds: float = math.inf, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        """Allow `seconds` from the next question on, which may come from another thread than this call."""
        self._seconds, self._end = seconds, math.nan

    def start(self) -> None:
        """Start the clock, which the first question does otherwise."""
        self._end = self._clock() + self._seconds

    @property
    def is_spent(self) -> bool:
        """Whether the time is over."""
        if self._seconds == math.inf:
            return False
        if math.isnan(self._end):
            self.start()
            return self._seconds <= 0
        return self._clock() >= self._end

    def part(self, seconds: float) -> "TimeBudget":
        """A limit for a part of what is done in this time: `seconds`, but no more than is left."""
        left = 0.0 if self.is_spent else self._seconds if self._seconds == math.inf else self._end - self._clock()
        limit = TimeBudget(min(seconds, left), self._clock)
        limit.start()
        return limit
