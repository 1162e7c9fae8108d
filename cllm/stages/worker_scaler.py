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
from cllm.stages.job import Job
from cllm.stages.memory_build import MemoryBuild

POLL_SECONDS = 2.0


class WorkerScaler:
    """The workers of a training, as many as there is room for."""

    def __init__(
        self, job: Job, sphere: Sphere, memory_build: MemoryBuild, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._job, self._sphere, self._memory_build, self._clock = job, sphere, memory_build, clock
        self._polled_at = clock()
        self._cores = os.sched_getaffinity(0)

    def num_active(self) -> int:
        """How many workers share the step that is about to begin."""
        if self._clock() - self._polled_at >= POLL_SECONDS:
            self._polled_at = self._clock()
            self._poll()
        return max(1, len(self._sphere.workers) - self._memory_build.num_idle())

    def _poll(self) -> None:
        """Have as many workers as there are cores now."""
        cores = os.sched_getaffinity(0)
        if cores != self._cores:
            self._cores = cores
            for pid in descendants(os.getpid()):
                set_affinity(pid, cores)
        self._job.cores = count_cores()
        before, wanted = len(self._sphere.workers), self._job.num_workers
        if wanted != before:
            self._sphere.resize(wanted)
            self._job.report.log(f"cores that can be used now: {self._job.cores}; workers: {wanted}, not {before}")


def set_affinity(pid: int, cores: set[int]) -> None:
    """Let a process, which may have ended, run on these cores alone."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, cores)
