"""The number of workers of a step: one per core, less those that stay idle while the memory is built.

The cores that a process can use may change while it runs (`taskset`, a container's quota). Then workers are started or
terminated before the next step; the result does not depend on the number of workers.
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
    """Adjusts the number of workers of a training to the available cores."""

    def __init__(
        self, job: Job, sphere: Sphere, memory_build: MemoryBuild, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._job, self._sphere, self._memory_build, self._clock = job, sphere, memory_build, clock
        self._polled_at = clock()
        self._cores = os.sched_getaffinity(0)

    def num_active(self) -> int:
        """The number of workers for the next step."""
        if self._clock() - self._polled_at >= POLL_SECONDS:
            self._polled_at = self._clock()
            self._poll()
        return max(1, len(self._sphere.workers) - self._memory_build.num_idle())

    def _poll(self) -> None:
        """Check the available cores, and set CPU affinities and the number of workers to match."""
        cores = os.sched_getaffinity(0)
        if cores != self._cores:
            self._cores = cores
            for pid in descendants(os.getpid()):
                set_affinity(pid, cores)
        self._job.cores = count_cores()
        before, wanted = len(self._sphere.workers), self._job.num_workers
        if wanted != before:
            self._sphere.resize(wanted)
            self._job.report.log(f"available cores: {self._job.cores}; workers: {wanted}, before {before}")


def set_affinity(pid: int, cores: set[int]) -> None:
    """Restrict a process to these cores; a process that has ended is ignored."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, cores)
