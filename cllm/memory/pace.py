"""Working beside others: with what they leave, as long as that is enough to be done in time.

Workers that learn wait for each other a part of their time. A thread of the idle class has that time and no more; work
that comes to be late is done by a thread that competes for the processor like any other. (Two threads, because without
privileges Linux lets none leave the idle class.)
"""

import contextlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

Result = TypeVar("Result")
GRACE = 0.15  # of the time: being late by so much is on time, at the beginning and at the end


class Pace:
    """Of work that begins now and is to be done in so many seconds; a context manager."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._seconds = clock, clock(), seconds
        self._courteous = ThreadPoolExecutor(1, initializer=yield_to_others)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._courteous.shutdown()

    def on_time(self, done: float) -> bool:
        """Whether work of which so much is done (0 to 1) will end in time as it goes."""
        return (done + GRACE) * self._seconds >= self._clock() - self._began

    def run(self, part: Callable[[], Result], done: float) -> Result:
        """Do a part of the work, before which so much of it is done."""
        return self._courteous.submit(part).result() if self.on_time(done) else part()


def yield_to_others() -> None:
    """Let this thread have the processor only when nobody else wants it; nothing where the system cannot."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
