"""Starting the workers of a run, and handing them the run once it is planned."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cllm.machine import descendants
from cllm.spheres import FANOUT, FIRST_EXTRA_FD, ForkServer, SharedArrays, Sphere, create_shared_memory
from cllm.spheres.remote import MAX_IDLE_CHECKS
from cllm.spheres.telemetry import control_node_row
from cllm.training.layout import layout
from cllm.training.loop import StepRunner, run_local_step
from cllm.training.plan import Plan

WORKER, CONTROL = "cllm.training.worker", "cllm.training.control"
LEADER, FOLLOWER = "cllm.training.leader", "cllm.training.follower"  # control nodes of whole machines
# Of a machine's control node, which waits for other machines for `COLLECTIVE_TIMEOUT_SECONDS` (20) at most: it counts
# as hung after
# 60 s, as it has workers below it.
PEER_MAX_IDLE_CHECKS = 30


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


def launch_measurers(num_workers: int, fork_server: ForkServer) -> Sphere:
    """Processes that measure networks; those that learn are others, to whom they would leave 75 MB each."""
    return Sphere(fork_server, WORKER, min(num_workers, FANOUT), idempotent=True)


class Workers:
    """Workers and the memory they share; a context manager. They are not waited for.

    Of two levels the sphere's workers are control nodes, as few as there must be, who share so many workers. Where
    other machines may take part, it is one, of this machine; it listens for theirs at `listen`, an address and a port.
    """

    def __init__(
        self,
        num_workers: int,
        fork_server: ForkServer,
        module: str = WORKER,
        levels: int = 1,
        listen: tuple[str, int] | None = None,
    ) -> None:
        assert 1 <= num_workers <= FANOUT ** (levels if listen is None else 1)
        self.descriptor, self._levels, self._listen = create_shared_memory(), levels, listen
        num_direct = num_workers if levels == 1 else -(-num_workers // FANOUT)
        self._num_below = [num_workers // num_direct + (rank < num_workers % num_direct) for rank in range(num_direct)]
        if levels > 1:
            module = CONTROL if listen is None else LEADER
        max_idle_checks = MAX_IDLE_CHECKS if listen is None else PEER_MAX_IDLE_CHECKS
        self.sphere = Sphere(
            fork_server, module, num_direct, [self.descriptor], idempotent=True, max_idle_checks=max_idle_checks
        )

    @property
    def num_workers(self) -> int:
        """How many compute, on this machine."""
        return len(self.sphere.workers) if self._levels == 1 else sum(self._num_below)

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

    def load_run(self, run: Path, plan: Plan, plan_path: Path, dev: list[int]) -> SharedArrays:
        """Give every worker the run's plan and data; the shared memory, zeroed."""
        assert plan.levels == self._levels
        if self._listen is not None:
            self.sphere.prepare("listen", address=self._listen[0], port=self._listen[1])
        shared = SharedArrays(layout(plan.model, plan.engine.dtype, plan.levels), self.descriptor)
        arguments = {"run": str(run), "plan": str(plan_path), "descriptor": FIRST_EXTRA_FD, "dev": dev}
        if plan.levels == 1:
            self.sphere.prepare("load_run", **arguments)
        else:
            self.sphere.prepare_each("load_run", lambda rank: {**arguments, "num_workers": self._num_below[rank]})
        return shared

    def step_runner(self, log: Callable[[str], None]) -> StepRunner:
        """How a step is taken; `log` is told of machines that come and go."""
        return run_local_step if self._listen is None else functools.partial(run_group_step, log)

    def sample_telemetry(self, tokens_per_micro_batch: int) -> list[dict[str, Any]]:
        """The control nodes that touch Node Zero, with what is below them; none where workers do."""
        if self._listen is not None:
            found: list[dict[str, Any]] = self.sphere.call_one(
                "sample_telemetry", tokens_per_micro_batch=tokens_per_micro_batch
            )
            return found
        if self._levels == 1:
            return []
        arguments = [{"tokens_per_micro_batch": tokens_per_micro_batch}] * len(self.sphere.workers)
        samples = self.sphere.call_all("sample_telemetry", arguments)
        return [control_node_row(rank, "", sample) for rank, sample in enumerate(samples)]

    def end(self) -> None:
        """Let other machines know that there is nothing left to learn."""
        if self._listen is not None:
            self.sphere.call_one("end")


def run_group_step(
    log: Callable[[str], None], sphere: Sphere, plan: Plan, step: int, num_workers: int
) -> tuple[float, float, float]:
    """One step by all machines that take part; seconds that were lost in waiting for one are no time of the step."""
    found = sphere.call_one("step", step=step)
    for sentence in found["messages"]:
        log(sentence)
    return found["loss"], found["squared_norm"], found["retry_seconds"]
