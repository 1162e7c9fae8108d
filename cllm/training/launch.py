"""Starts the workers of a run, and loads the run into them once it is planned."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cllm.machine import descendants
from cllm.spheres import FANOUT, ForkServer, SharedArrays, Sphere, create_shared_memory
from cllm.spheres.remote import MAX_IDLE_CHECKS
from cllm.spheres.telemetry import control_node_row
from cllm.training.control import WORKER_STATE_FD
from cllm.training.layout import layout, num_spheres
from cllm.training.loop import StepResult, StepRunner, run_local_step
from cllm.training.plan import Plan

WORKER, CONTROL = "cllm.training.worker", "cllm.training.control"
LEADER, FOLLOWER = "cllm.training.leader", "cllm.training.follower"  # control nodes of whole machines
# For a machine's control node, which waits at most `COLLECTIVE_TIMEOUT_SECONDS` (20) for other machines. It counts as
# hung after 60 s: the limit is doubled for a worker with workers of its own.
PEER_MAX_IDLE_CHECKS = 30


def worker_environment() -> dict[str, str]:
    """The environment of workers: one thread each, and no imports from the current folder."""
    return {
        **os.environ,
        "PYTHONSAFEPATH": "1",  # never import from the current folder: it may be any repository
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # a lost connection is reported by us, without a C++ stack trace
    }


def launch_measurers(num_workers: int, fork_server: ForkServer) -> Sphere:
    """Start workers that measure networks. Training uses new ones: each of these keeps 75 MB after a measurement."""
    return Sphere(fork_server, WORKER, min(num_workers, FANOUT), idempotent=True)


class Workers:
    """The workers of a run and their shared memory; a context manager. Construction does not wait for the workers.

    With two levels the sphere's workers are control nodes, as few as possible, which divide `num_workers` among
    themselves. With `listen` (address, port) there is one, the leader, and other machines can join at that address.
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
        self.state_fd, self._levels, self._listen = create_shared_memory(), levels, listen
        num_direct = num_workers if levels == 1 else num_spheres(num_workers)
        self._num_below = [num_workers // num_direct + (rank < num_workers % num_direct) for rank in range(num_direct)]
        if levels > 1:
            module = CONTROL if listen is None else LEADER
        max_idle_checks = MAX_IDLE_CHECKS if listen is None else PEER_MAX_IDLE_CHECKS
        self.sphere = Sphere(
            fork_server, module, num_direct, [self.state_fd], idempotent=True, max_idle_checks=max_idle_checks
        )

    @property
    def num_workers(self) -> int:
        """The number of workers on this machine that compute, without control nodes."""
        return len(self.sphere.workers) if self._levels == 1 else sum(self._num_below)

    @property
    def pids(self) -> list[int]:
        """The process IDs of the sphere's workers and of all processes below them."""
        below = [] if self._levels == 1 else [pid for own in self.sphere.pids for pid in descendants(own)]
        return [*self.sphere.pids, *below]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: Any) -> None:
        self.sphere.__exit__(*error)
        os.close(self.state_fd)

    def load_run(self, run: Path, plan: Plan, plan_path: Path, dev: list[int]) -> SharedArrays:
        """Load the run's plan and data into every worker; returns the shared memory, zeroed."""
        assert plan.levels == self._levels
        if self._listen is not None:
            self.sphere.prepare("listen", address=self._listen[0], port=self._listen[1])
        shared = SharedArrays(layout(plan.model, plan.engine.dtype, plan.levels), self.state_fd)
        arguments = {"run": str(run), "plan": str(plan_path), "descriptor": WORKER_STATE_FD, "dev": dev}
        if plan.levels == 1:
            self.sphere.prepare("load_run", **arguments)
        else:
            self.sphere.prepare_each("load_run", lambda rank: {**arguments, "num_workers": self._num_below[rank]})
        return shared

    def step_runner(self, log: Callable[[str], None]) -> StepRunner:
        """The function that runs a step; `log` gets a message when machines join or are lost."""
        return run_local_step if self._listen is None else functools.partial(run_group_step, log)

    def sample_telemetry(self, tokens_per_micro_batch: int) -> list[dict[str, Any]]:
        """Rows of the control nodes below Node Zero, with their workers; empty if Node Zero's workers compute."""
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
        """Tell the other machines that the run is complete."""
        if self._listen is not None:
            self.sphere.call_one("end")


def run_group_step(log: Callable[[str], None], sphere: Sphere, plan: Plan, step: int, num_workers: int) -> StepResult:
    """Run one step on all machines of the group."""
    found = sphere.call_one("step", step=step)
    for sentence in found["messages"]:
        log(sentence)
    return StepResult(found["loss"], found["squared_norm"], found["retry_seconds"])
