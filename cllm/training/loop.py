"""The training loop, as Node Zero runs it: deal twelve positions, sum, update, report.

A generator: each step yields what happened, and whoever iterates prints, saves and stops. Three barriers a step: all
positions are computed before any is summed, all sums are finite before anything is updated, everything is updated
before the next step. Node Zero itself computes no batch. How many workers share a step makes no difference to its
result, so it may be another number at each.
"""

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cllm.errors import TrainingError
from cllm.model.config import TransformerConfig, is_matrix
from cllm.spheres import Sphere
from cllm.spheres.order import FANOUT
from cllm.training.layout import parts
from cllm.training.plan import Plan, save_plan, timeline

Amend = Callable[[Plan, int], Plan]
StepRunner = Callable[[Sphere, Plan, int, int], tuple[float, float, float]]


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One step, done: its number from 1, the mean loss before it (nats a token), and what it took."""

    step: int
    steps: int
    progress: float
    progress_delta: float  # of the progress, by this step
    phase: int
    loss: float
    gradient_norm: float
    tokens: int
    seconds: float
    num_workers: int


def train(
    sphere: Sphere,
    plan: Plan,
    path: Path,
    first_step: int,
    amend: Amend,
    num_active: Callable[[], int],
    run_step: StepRunner | None = None,
) -> Iterator[StepReport]:
    """Run the plan's steps from `first_step` on.

    Before each step, `amend` may change what is left, and `num_active` says how many workers share it. `run_step`
    takes a
    step, and gives its loss, the squared norm of its gradient, and seconds that went by before it began (default: by a
    sphere on this machine).
    """
    run_step, step = run_step or run_local_step, first_step
    while True:
        if (amended := amend(plan, step)) is not plan:
            save_plan(amended, path)
            sphere.call_all("amend", [{"plan": str(path)}] * len(sphere.workers))
            plan = amended
        if step >= plan.steps:
            return
        began, num_workers = time.perf_counter(), num_active()
        loss, squared_norm, retry_seconds = run_step(sphere, plan, step, num_workers)
        seconds = time.perf_counter() - began - retry_seconds
        step_info = timeline(plan)[step]
        step += 1
        progress = timeline(plan)[step].progress if step < plan.steps else 1.0
        yield StepReport(
            step=step,
            steps=plan.steps,
            progress=progress,
            progress_delta=progress - step_info.progress,
            phase=step_info.phase,
            loss=loss,
            gradient_norm=math.sqrt(squared_norm),
            tokens=plan.num_micro_batches * plan.phases[step_info.phase].tokens_per_micro_batch,
            seconds=seconds,
            num_workers=num_workers,
        )


def run_local_step(sphere: Sphere, plan: Plan, step: int, num_workers: int) -> tuple[float, float, float]:
    """One step by so many workers of a sphere; its loss, the squared norm of its gradient, and no seconds lost."""
    parts_of_each = shares(plan.model, num_workers)
    micro_batches = [{"step": step, "micro_batch": micro_batch} for micro_batch in range(FANOUT)]
    losses = sphere.map_tasks("compute", micro_batches, num_workers, is_finite_loss, chunked=True)
    loss = math.fsum(losses) / FANOUT
    squared_norms = sphere.call_all("reduce", [{"parts": share} for share in parts_of_each], are_squared_norms)
    squared_norm = math.fsum(value for worker in squared_norms for value in worker)
    check_finite(step, loss, squared_norm)
    sphere.call_all("update", [{"step": step, "parts": share} for share in parts_of_each])
    return loss, squared_norm, 0.0


def check_finite(step: int, loss: float, squared_norm: float) -> None:
    """TrainingError where a step must not change the weights."""
    if not math.isfinite(loss) or not math.isfinite(squared_norm):
        raise TrainingError(
            f"step {step + 1} has a loss of {loss} and a squared gradient of {squared_norm}: training stopped before "
            "the weights changed, and the last checkpoint is good; try --fresh with another --seed"
        )


def is_finite_loss(arguments: Mapping[str, Any], result: Any) -> bool:
    """Whether a position can have this loss; the weights may be such that none has a better one."""
    return isinstance(result, float) and math.isfinite(result)


def are_squared_norms(arguments: Mapping[str, Any], result: Any) -> bool:
    """Whether summed gradients can have these squared norms."""
    return (
        isinstance(result, list)
        and len(result) == len(arguments["parts"])
        and all(isinstance(squared_norm, float) and math.isfinite(squared_norm) for squared_norm in result)
    )


@functools.cache
def shares(config: TransformerConfig, num_workers: int) -> list[list[int]]:
    """Which parts each worker sums and updates, the dearest first to the least burdened."""
    costs = part_costs(config)
    loads = [0] * num_workers
    result: list[list[int]] = [[] for _ in range(num_workers)]
    for cost, index in sorted(((cost, index) for index, cost in enumerate(costs)), reverse=True):
        lightest = loads.index(min(loads))
        loads[lightest] += cost
        result[lightest].append(index)
    return result


def part_costs(config: TransformerConfig) -> list[int]:
    """What the update of each part takes, beside each other.

    A Newton-Schulz product costs a matrix its smaller side many operations an element; other updates, a few.
    """
    return [part.size * (min(part.shape) if is_matrix(part.name) else 16) for part in parts(config)]


def largest_share(config: TransformerConfig, num_workers: int) -> float:
    """The share of all updates that the most burdened of so many workers has."""
    costs = part_costs(config)
    return max(sum(costs[index] for index in share) for share in shares(config, num_workers)) / sum(costs)
