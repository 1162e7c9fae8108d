"""A control node below Node Zero: a worker of Node Zero's sphere, with a sphere of workers of its own.

A position of a step is twelve micro-batches here, which it gives to its workers; they sum the gradients into the
position's row of the run's shared memory. It computes nothing itself. The result is bit-identical whichever worker
computes or sums.
"""

import functools
import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cllm.errors import TrainingError
from cllm.spheres import FIRST_EXTRA_FD, SharedArrays, Sphere, WorkerLost, create_shared_memory
from cllm.spheres.nested_fork_server import NestedForkServer
from cllm.spheres.order import FANOUT
from cllm.spheres.telemetry import Sample, Telemetry
from cllm.spheres.worker import serve
from cllm.training.layout import gradient_layout
from cllm.training.loop import are_squared_norms, is_finite_loss, shares
from cllm.training.plan import Plan, load_plan

CALLS = (
    "load_run",
    "amend",
    "initialise",
    "cast_weights",
    "compute",
    "reduce",
    "update",
    "dev_loss",
    "sample_telemetry",
)
WORKER = "cllm.training.worker"
# The workers' numbers for the descriptors of the run's state, and of their sphere's own gradients.
WORKER_STATE_FD, WORKER_GRADIENTS_FD = FIRST_EXTRA_FD, FIRST_EXTRA_FD + 1


class ControlNode:
    """The calls that a control node answers; `load_run` comes before all others."""

    def __init__(self, processes: ExitStack) -> None:
        """Fork this node's fork server, before the process has other threads (`NestedForkServer`).

        `processes`: closes the fork server and the workers at its exit.
        """
        self._processes = processes
        self._fork_server = processes.enter_context(NestedForkServer([WORKER]))
        self._sphere: Sphere | None = None

    @property
    def sphere(self) -> Sphere:
        assert self._sphere is not None, "called before load_run"
        return self._sphere

    def load_run(
        self,
        run: str,
        plan: str,
        descriptor: int,
        dev: list[int],
        num_workers: int,
        check: Callable[[Plan], None] = lambda plan: None,
    ) -> None:
        """Start `num_workers` workers and load the run into them; before that, `check` gets the plan, and can raise.

        `descriptor`: of the run's state, in this process.
        """
        self.plan: Plan = load_plan(Path(plan))
        check(self.plan)
        gradients_fd = create_shared_memory()  # stays open for replacement workers
        SharedArrays(gradient_layout(self.plan.model, self.plan.engine.dtype), gradients_fd)  # sizes the memory
        self._sphere = Sphere(self._fork_server, WORKER, num_workers, [descriptor, gradients_fd], idempotent=True)
        self._processes.enter_context(self._sphere)
        self._telemetry = Telemetry(self._sphere)
        self.sphere.prepare(
            "load_run", run=run, plan=plan, descriptor=WORKER_STATE_FD, dev=dev, gradients_fd=WORKER_GRADIENTS_FD
        )

    def amend(self, amendments: list[dict[str, int]]) -> None:
        self.plan = self.plan.with_amendments(amendments)
        self.sphere.call_all("amend", [{"amendments": amendments}] * len(self.sphere.workers))

    def initialise(self) -> None:
        self.sphere.call_one("initialise")

    def cast_weights(self, step: int) -> None:
        self.sphere.call_one("cast_weights", step=step)

    def compute(self, step: int, position: int) -> float:
        """Compute twelve micro-batches and sum their gradients into row `position`; the mean loss (nats per token).

        Raises TrainingError if the loss is not finite.
        """
        tasks = [{"step": step, "position": below, "sphere": position} for below in range(FANOUT)]
        losses = self.sphere.map_tasks("compute", tasks, is_valid=is_finite_loss, chunked=True)
        mean = math.fsum(losses) / FANOUT
        if not math.isfinite(mean):  # JSON has no NaN or infinity
            raise TrainingError(f"step {step + 1} has a loss of {mean}; the last checkpoint is not affected")
        given = shares(self.plan.model, len(self.sphere.workers))
        self.sphere.call_all("reduce_to_parent", [{"part_indices": share, "position": position} for share in given])
        return mean

    def reduce(self, part_indices: list[int], is_summed: bool = False) -> list[float]:
        given = self._split(part_indices)
        tasks = [{"part_indices": share, "is_summed": is_summed} for share in given]
        found = self.sphere.call_all("reduce", tasks, are_squared_norms)
        of_part = {
            index: squared_norm
            for share, squared_norms in zip(given, found, strict=True)
            for index, squared_norm in zip(share, squared_norms, strict=True)
        }
        return [of_part[index] for index in part_indices]

    def update(self, step: int, part_indices: list[int], is_summed: bool = False) -> None:
        tasks = [{"step": step, "part_indices": share, "is_summed": is_summed} for share in self._split(part_indices)]
        self.sphere.call_all("update", tasks)

    def dev_loss(self, context: int, first: int, count: int) -> tuple[float, int]:
        """Nats and bytes of the targets in some rows of the dev documents; each row is one task."""
        tasks = [{"context": context, "first": number, "count": 1} for number in range(first, first + count)]
        found = self.sphere.map_tasks("dev_loss", tasks)
        return math.fsum(nats for nats, _ in found), sum(size for _, size in found)

    def sample_telemetry(self, tokens_per_micro_batch: int) -> Sample:
        """What the workers have done since the previous sample."""
        return self._telemetry.sample(tokens_per_micro_batch)

    def _split(self, part_indices: list[int]) -> list[list[int]]:
        """Parts for each worker, round-robin: `part_indices` is in order of descending cost (`shares`)."""
        return [part_indices[rank :: len(self.sphere.workers)] for rank in range(len(self.sphere.workers))]


def main() -> None:
    with ExitStack() as processes:
        control = ControlNode(processes)
        serve({name: exit_on_worker_lost(getattr(control, name)) for name in CALLS})


def exit_on_worker_lost(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a call so that WorkerLost ends the process: the node above replaces this control node and its workers."""

    @functools.wraps(call)
    def wrapper(**arguments: Any) -> Any:
        try:
            return call(**arguments)
        except WorkerLost:
            os._exit(1)

    return wrapper
