"""Starting the workers of a run, and handing them the run once it is planned."""

import os
from pathlib import Path
from typing import Any

from cllm.machine import descendants
from cllm.spheres import FIRST_MORE, MAX_WORKERS, Nursery, SharedArrays, Sphere, create_memory
from cllm.training.layout import layout
from cllm.training.plan import Plan

WORKER, CONTROL = "cllm.training.worker", "cllm.training.control"


def worker_environment() -> dict[str, str]:
    """One thread a worker."""
    return {
        **os.environ,
        "PYTHONSAFEPATH": "1",  # the current folder may be a repository: nothing in it is ever imported
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def launch_measurers(num_workers: int, nursery: Nursery) -> Sphere:
    """Processes that measure networks; those that learn are others, to whom they would leave 75 MB each."""
    return Sphere(nursery, WORKER, min(num_workers, MAX_WORKERS), repeatable=True)


class Workers:
    """Workers and the memory they share; a context manager. They are not waited for.

    Of two levels the sphere's workers are control nodes, as few as there must be, who share so many workers.
    """

    def __init__(self, num_workers: int, nursery: Nursery, module: str = WORKER, levels: int = 1) -> None:
        assert 1 <= num_workers <= MAX_WORKERS**levels
        self.descriptor, self._levels = create_memory(), levels
        touching = num_workers if levels == 1 else -(-num_workers // MAX_WORKERS)
        self._below = [num_workers // touching + (rank < num_workers % touching) for rank in range(touching)]
        module = module if levels == 1 else CONTROL
        self.sphere = Sphere(nursery, module, touching, [self.descriptor], repeatable=True)

    @property
    def number(self) -> int:
        """How many compute."""
        return len(self.sphere.workers) if self._levels == 1 else sum(self._below)

    @property
    def pids(self) -> list[int]:
        """Of those who touch Node Zero, and of all below them."""
        below = [] if self._levels == 1 else [pid for own in self.sphere.pids for pid in descendants(own)]
        return [*self.sphere.pids, *below]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: Any) -> None:
        self.sphere.__exit__(*error)
        os.close(self.descriptor)

    def join(self, run: Path, plan: Plan, plan_path: Path, dev: list[int]) -> SharedArrays:
        """Give every worker the run's plan and data; the shared memory, zeroed."""
        assert plan.levels == self._levels
        shared = SharedArrays(layout(plan.model, plan.engine.dtype, plan.levels), self.descriptor)
        arguments = {"run": str(run), "plan": str(plan_path), "descriptor": FIRST_MORE, "dev": dev}
        if plan.levels == 1:
            self.sphere.prepare("join", **arguments)
        else:
            self.sphere.prepare_each("join", lambda rank: {**arguments, "num_workers": self._below[rank]})
        return shared
