"""A control node below Node Zero: a worker to it, and to workers of its own what Node Zero is to its.

Its position of a step is twelve positions, which it deals to its workers; they sum them into its row of the run's
memory. It computes nothing itself. Who computes and who sums makes no difference to the bits, here as above.
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
GRADIENTS_FD = FIRST_EXTRA_FD + 1  # the number in a worker of the descriptor of the sphere's own memory


class ControlNode:
    """The calls that it answers; `load_run` comes before all others."""

    def __init__(self, processes: ExitStack) -> None:
        """`processes`: what ends with this one."""
        self._processes = processes
        self._sphere: Sphere | None = None

    @property
    def sphere(self) -> Sphere:
        assert self._sphere is not None, "called before load_run"
        return self._sphere

    def load_run(self, run: str, plan: str, descriptor: int, dev: list[int], num_workers: int) -> None:
        """Have so many workers, who know the run."""
        self.plan: Plan = load_plan(Path(plan))
        gradients_fd = create_shared_memory()  # which stays open, for those who take a worker's place
        SharedArrays(
            gradient_layout(self.plan.model, self.plan.engine.dtype), gradients_fd
        )  # it is as large as that from now on
        fork_server = self._processes.enter_context(NestedForkServer([WORKER]))
        self._sphere = Sphere(fork_server, WORKER, num_workers, [descriptor, gradients_fd], idempotent=True)
        self._processes.enter_context(self._sphere)
        self._telemetry = Telemetry(self._sphere)
        self.sphere.prepare(
            "load_run", run=run, plan=plan, descriptor=FIRST_EXTRA_FD, dev=dev, gradients_fd=GRADIENTS_FD
        )

    def amend(self, plan: str) -> None:
        self.plan = load_plan(Path(plan))
        self.sphere.call_all("amend", [{"plan": plan}] * len(self.sphere.workers))

    def initialise(self) -> None:
        self.sphere.call_one("initialise")

    def cast_weights(self, step: int) -> None:
        self.sphere.call_one("cast_weights", step=step)

    def compute(self, step: int, micro_batch: int) -> float:
        """The mean loss of twelve positions, whose gradient is in this one's row."""
        below = range(micro_batch * FANOUT, (micro_batch + 1) * FANOUT)
        tasks = [{"step": step, "micro_batch": number} for number in below]
        losses = self.sphere.map_tasks("compute", tasks, is_valid=is_finite_loss, chunked=True)
        mean = math.fsum(losses) / FANOUT
        if not math.isfinite(mean):  # which JSON could not say
            raise TrainingError(f"step {step + 1} has a loss of {mean}; the last checkpoint is good")
        given = shares(self.plan.model, len(self.sphere.workers))
        self.sphere.call_all("reduce_to_parent", [{"parts": share, "micro_batch": micro_batch} for share in given])
        return mean

    def reduce(self, parts: list[int], is_summed: bool = False) -> list[float]:
        given = self._split(parts)
        tasks = [{"parts": share, "is_summed": is_summed} for share in given]
        found = self.sphere.call_all("reduce", tasks, are_squared_norms)
        of_part = {
            part: squared_norm
            for share, squared_norms in zip(given, found, strict=True)
            for part, squared_norm in zip(share, squared_norms, strict=True)
        }
        return [of_part[part] for part in parts]

    def update(self, step: int, parts: list[int], is_summed: bool = False) -> None:
        given = self._split(parts)
        self.sphere.call_all("update", [{"step": step, "parts": share, "is_summed": is_summed} for share in given])

    def dev_loss(self, context: int, first: int, count: int) -> tuple[float, int]:
        """Row by row, whoever is free."""
        tasks = [{"context": context, "first": number, "count": 1} for number in range(first, first + count)]
        found = self.sphere.map_tasks("dev_loss", tasks)
        return math.fsum(nats for nats, _ in found), sum(size for _, size in found)

    def sample_telemetry(self, tokens_per_micro_batch: int) -> Sample:
        """What the workers have done since the look before."""
        return self._telemetry.sample(tokens_per_micro_batch)

    def _split(self, parts: list[int]) -> list[list[int]]:
        """Parts for each worker; the dearest come first (`shares`), so they are dealt like cards."""
        return [parts[rank :: len(self.sphere.workers)] for rank in range(len(self.sphere.workers))]


def main() -> None:
    with ExitStack() as processes:
        control = ControlNode(processes)
        serve({name: exit_on_worker_lost(getattr(control, name)) for name in CALLS})


def exit_on_worker_lost(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, at whose failure for want of workers the process ends: another control node does it, with others."""

    @functools.wraps(call)
    def wrapper(**arguments: Any) -> Any:
        try:
            return call(**arguments)
        except WorkerLost:
            os._exit(1)

    return wrapper
