"""Who works at a step: a worker for each core, but for those that rest while the memory reads.

The cores that a process may use can change while it runs (`taskset`, a container's quota). Then workers join or leave
before the next step; which of them compute it makes no difference to what is learned.
"""

import contextlib
import os
import time
from collections.abc import Callable

from cllm.machine import count_cores, descendants
from cllm.spheres import Sphere
from cllm.stages.remembering import Remembering
from cllm.stages.session import Session

LOOK_SECONDS = 2.0


class Crew:
    """The workers of a training, as many as there is room for."""

    def __init__(
        self, session: Session, sphere: Sphere, remembering: Remembering, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session, self._sphere, self._remembering, self._clock = session, sphere, remembering, clock
        self._looked = clock()
        self._cores = os.sched_getaffinity(0)

    def num_working(self) -> int:
        """How many workers share the step that is about to begin."""
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._looked = self._clock()
            self._look()
        return max(1, len(self._sphere.workers) - self._remembering.num_resting())

    def _look(self) -> None:
        """Have as many workers as there are cores now."""
        cores = os.sched_getaffinity(0)
        if cores != self._cores:
            self._cores = cores
            for pid in descendants(os.getpid()):
                place(pid, cores)
        self._session.cores = count_cores()
        before, wanted = len(self._sphere.workers), self._session.num_workers
        if wanted != before:
            self._sphere.resize(wanted)
            self._session.report.say(
                f"cores that can be used now: {self._session.cores}; workers: {wanted}, not {before}"
            )


def place(pid: int, cores: set[int]) -> None:
    """Let a process, which may have ended, run on these cores alone."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, cores)
