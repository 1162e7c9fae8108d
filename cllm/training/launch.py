"""Starting the workers of a run, and handing them the run once it is planned."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cllm.machine import descendants
from cllm.spheres import FIRST_MORE, MAX_WORKERS, Nursery, SharedArrays, Sphere, create_memory
from cllm.spheres.remote import HUNG_LOOKS
from cllm.spheres.telemetry import of_control_node
from cllm.training.layout import layout
from cllm.training.loop import Take, take_step
from cllm.training.plan import Plan

WORKER, CONTROL = "cllm.training.worker", "cllm.training.control"
FIRST, OTHER = "cllm.training.first", "cllm.training.other"  # control nodes of whole machines
# Of a machine's control node, which waits for other machines for `LOST_SECONDS` (20) at most: it counts as hung after
# 60 s, as it has workers below it.
MACHINE_HUNG_LOOKS = 30


def worker_environment() -> dict[str, str]:
    """One thread a worker."""
    return {
        **os.environ,
        "PYTHONSAFEPATH": "1",  # the current folder may be a repository: nothing in it is ever imported
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # a connection that is gone is said by us, not with a stack in C++
    }


def launch_measurers(num_workers: int, nursery: Nursery) -> Sphere:
    """Processes that measure networks; those that learn are others, to whom they would leave 75 MB each."""
    return Sphere(nursery, WORKER, min(num_workers, MAX_WORKERS), repeatable=True)


class Workers:
    """Workers and the memory they share; a context manager. They are not waited for.

    Of two levels the sphere's workers are control nodes, as few as there must be, who share so many workers. Where
    other machines may take part, it is one, of this machine; it listens for theirs at `listen`, an address and a port.
    """

    def __init__(
        self,
        num_workers: int,
        nursery: Nursery,
        module: str = WORKER,
        levels: int = 1,
        listen: tuple[str, int] | None = None,
    ) -> None:
        assert 1 <= num_workers <= MAX_WORKERS ** (levels if listen is None else 1)
        self.descriptor, self._levels, self._listen = create_memory(), levels, listen
        touching = num_workers if levels == 1 else -(-num_workers // MAX_WORKERS)
        self._below = [num_workers // touching + (rank < num_workers % touching) for rank in range(touching)]
        if levels > 1:
            module = CONTROL if listen is None else FIRST
        looks = HUNG_LOOKS if listen is None else MACHINE_HUNG_LOOKS
        self.sphere = Sphere(nursery, module, touching, [self.descriptor], repeatable=True, hung_looks=looks)

    @property
    def number(self) -> int:
        """How many compute, on this machine."""
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
        if self._listen is not None:
            self.sphere.prepare("listen", address=self._listen[0], port=self._listen[1])
        shared = SharedArrays(layout(plan.model, plan.engine.dtype, plan.levels), self.descriptor)
        arguments = {"run": str(run), "plan": str(plan_path), "descriptor": FIRST_MORE, "dev": dev}
        if plan.levels == 1:
            self.sphere.prepare("join", **arguments)
        else:
            self.sphere.prepare_each("join", lambda rank: {**arguments, "num_workers": self._below[rank]})
        return shared

    def take(self, say: Callable[[str], None]) -> Take:
        """How a step is taken; `say` is told of machines that come and go."""
        return take_step if self._listen is None else functools.partial(take_step_with_others, say)

    def look(self, tokens_per_position: int) -> list[dict[str, Any]]:
        """The control nodes that touch Node Zero, with what is below them; none where workers do."""
        if self._listen is not None:
            found: list[dict[str, Any]] = self.sphere.call_one("look", tokens_per_position=tokens_per_position)
            return found
        if self._levels == 1:
            return []
        asked = [{"tokens_per_position": tokens_per_position}] * len(self.sphere.workers)
        samples = self.sphere.call_all("look", asked)
        return [of_control_node(rank, "", sample) for rank, sample in enumerate(samples)]

    def end(self) -> None:
        """Let other machines know that there is nothing left to learn."""
        if self._listen is not None:
            self.sphere.call_one("end")


def take_step_with_others(
    say: Callable[[str], None], sphere: Sphere, plan: Plan, step: int, num_workers: int
) -> tuple[float, float, float]:
    """One step by all machines that take part; seconds that were lost in waiting for one are no time of the step."""
    found = sphere.call_one("step", step=step)
    for sentence in found["said"]:
        say(sentence)
    return found["loss"], found["square"], found["lost_seconds"]
