"""Starting the workers of a run, and handing them the run once it is planned."""

import os
from pathlib import Path
from typing import Any

from cllm.spheres import FIRST_MORE, Nursery, SharedArrays, Sphere, create_memory
from cllm.training.layout import layout
from cllm.training.plan import Plan

WORKER = "cllm.training.worker"


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
    return Sphere(nursery, WORKER, num_workers, repeatable=True)


class Workers:
    """Workers and the memory they share; a context manager. They are not waited for."""

    def __init__(self, num_workers: int, nursery: Nursery, module: str = WORKER) -> None:
        self.descriptor = create_memory()
        self.sphere = Sphere(nursery, module, num_workers, [self.descriptor], repeatable=True)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: Any) -> None:
        self.sphere.__exit__(*error)
        os.close(self.descriptor)

    def join(self, run: Path, plan: Plan, plan_path: Path, dev: list[int]) -> SharedArrays:
        """Give every worker the run's plan and data; the shared memory, zeroed."""
        shared = SharedArrays(layout(plan.model, plan.engine.dtype), self.descriptor)
        self.sphere.prepare("join", run=str(run), plan=str(plan_path), descriptor=FIRST_MORE, dev=dev)
        return shared
