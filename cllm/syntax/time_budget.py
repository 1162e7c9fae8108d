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

    @property
    def is_spent(self) -> bool:
        """Whether the time is over."""
        if self._seconds == math.inf:
            return False
        now = self._clock()
        if math.isnan(self._end):
            self._end = now + self._seconds
        return now >= self._end

    def part(self, seconds: float) -> "TimeBudget":
        """A limit for a part of what is done in this time: `seconds`, but no more than is left."""
        limit = TimeBudget(0.0 if self.is_spent else seconds, self._clock)
        if not limit.is_spent and self._seconds < math.inf:
            limit._end = min(limit._end, self._end)
        return limit
