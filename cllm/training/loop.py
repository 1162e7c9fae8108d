"""The training loop of Node Zero: distribute the twelve positions, sum, update, report.

A generator that yields a report for each step; the caller prints, saves and stops. A step has three barriers: all
positions are computed before any gradient is summed, all sums are finite before any parameter is updated, and all
parameters are updated before the next step. Node Zero itself computes no batch. The result of a step does not depend on
the number of workers, which can change between steps.
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


@dataclass(frozen=True)
class StepResult:
    """What a step gave: its mean loss (nats per token), the squared norm of its gradient, and the time it lost.

    `retry_seconds` are those of attempts that failed because a machine was lost; they do not count as the step's.
    """

    loss: float
    squared_norm: float
    retry_seconds: float = 0.0


StepRunner = Callable[[Sphere, Plan, int, int], StepResult]  # (sphere, plan, step, number of workers)


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """A completed step: its number from 1, the mean loss before its update (nats per token), and its cost."""

    step: int
    plan: Plan  # with the amendments up to this step
    progress: float
    progress_delta: float  # progress made by this step
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
    """Run the plan's steps from `first_step` on, yielding a report after each.

    Before each step `amend` can change the remaining steps, and `num_active` returns the number of workers to use.
    `run_step` runs a step; by default `run_local_step`.
    """
    run_step, step = run_step or run_local_step, first_step
    while True:
        if (amended := amend(plan, step)) is not plan:
            save_plan(amended, path)
            sphere.call_all("amend", [{"amendments": amended.amendments_as_json}] * len(sphere.workers))
            plan = amended
        if step >= plan.steps:
            return
        began, num_workers = time.perf_counter(), num_active()
        result = run_step(sphere, plan, step, num_workers)
        seconds = time.perf_counter() - began - result.retry_seconds
        step_info = timeline(plan)[step]
        step += 1
        progress = timeline(plan)[step].progress if step < plan.steps else 1.0
        yield StepReport(
            step=step,
            plan=plan,
            progress=progress,
            progress_delta=progress - step_info.progress,
            phase=step_info.phase,
            loss=result.loss,
            gradient_norm=math.sqrt(result.squared_norm),
            tokens=plan.num_micro_batches * plan.phases[step_info.phase].tokens_per_micro_batch,
            seconds=seconds,
            num_workers=num_workers,
        )


def run_local_step(sphere: Sphere, plan: Plan, step: int, num_workers: int) -> StepResult:
    """Run one step on the first `num_workers` workers of a sphere."""
    parts_of_each = shares(plan.model, num_workers)
    positions = [{"step": step, "position": position} for position in range(FANOUT)]
    losses = sphere.map_tasks("compute", positions, num_workers, is_finite_loss, chunked=True)
    loss = math.fsum(losses) / FANOUT
    squared_norms = sphere.call_all("reduce", [{"part_indices": share} for share in parts_of_each], are_squared_norms)
    squared_norm = math.fsum(value for worker in squared_norms for value in worker)
    check_finite(step, loss, squared_norm)
    sphere.call_all("update", [{"step": step, "part_indices": share} for share in parts_of_each])
    return StepResult(loss, squared_norm)


def check_finite(step: int, loss: float, squared_norm: float) -> None:
    """Raise TrainingError if a step's loss or gradient is not finite."""
    if not math.isfinite(loss) or not math.isfinite(squared_norm):
        raise TrainingError(
            f"step {step + 1} has a loss of {loss} and a squared gradient norm of {squared_norm}: training stopped "
            "before the weights changed, and the last checkpoint is not affected; try --fresh with another --seed"
        )


def is_finite_loss(arguments: Mapping[str, Any], result: Any) -> bool:
    """Whether the loss of a position is a finite float; after a retry an infinite one is accepted as correct."""
    return isinstance(result, float) and math.isfinite(result)


def are_squared_norms(arguments: Mapping[str, Any], result: Any) -> bool:
    """Whether the result is a list of finite floats, one per part."""
    return (
        isinstance(result, list)
        and len(result) == len(arguments["part_indices"])
        and all(isinstance(squared_norm, float) and math.isfinite(squared_norm) for squared_norm in result)
    )


@functools.cache
def shares(config: TransformerConfig, num_workers: int) -> list[list[int]]:
    """Indices into `parts(config)` of the parts that each worker sums and updates.

    By descending cost, each part goes to the least loaded worker.
    """
    costs = part_costs(config)
    loads = [0] * num_workers
    result: list[list[int]] = [[] for _ in range(num_workers)]
    for cost, index in sorted(((cost, index) for index, cost in enumerate(costs)), reverse=True):
        lightest = loads.index(min(loads))
        loads[lightest] += cost
        result[lightest].append(index)
    return result


def part_costs(config: TransformerConfig) -> list[int]:
    """The relative cost of each part's update.

    A Newton-Schulz product takes min(rows, columns) operations per element of a matrix; other updates take 16.
    """
    return [part.size * (min(part.shape) if is_matrix(part.name) else 16) for part in parts(config)]


def largest_share(config: TransformerConfig, num_workers: int) -> float:
    """The share of the total update cost of the most loaded of `num_workers` workers."""
    costs = part_costs(config)
    return max(sum(costs[index] for index in share) for share in shares(config, num_workers)) / sum(costs)
