"""`cllm spheres simulate`: what steps would take with more workers than there are, from what this machine takes now."""

import dataclasses
import statistics
import time
from dataclasses import dataclass
from typing import Any

from cllm.errors import UsageError
from cllm.machine import default_dtype, describe
from cllm.model.config import TransformerConfig, num_parameters
from cllm.progress import Reporter
from cllm.spheres import MAX_WORKERS, Sphere
from cllm.spheres.cost import Costs, Link, Shape, efficiency, levels_for, step_cost
from cllm.stages.planning import measured
from cllm.stages.workers import load_kernels, start_nursery
from cllm.training.choose import LADDER, rung
from cllm.training.launch import launch_measurers
from cllm.training.layout import vector_size
from cllm.training.loop import largest_share
from cllm.training.plan import Recipe

MOST_WORKERS = MAX_WORKERS**4
FANOUTS = (2, 4, 8, 12, 16)
VOCABULARY = 4096
MESSAGES = 200  # that are timed


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be known."""

    workers: tuple[int, ...] = (12, 144, 1728, 20_736)
    cores: int = 12  # of each machine
    network: str = "3x192"
    context: int = 256
    gigabits: float = 1.0  # a second, of each machine's link
    latency_ms: float = 0.1
    sync_every: int = 1

    def __post_init__(self) -> None:
        if not all(1 <= number <= MOST_WORKERS for number in self.workers):
            raise UsageError(f"--workers must be 1 to {MOST_WORKERS:,}: four levels of twelve")
        if not 1 <= self.cores <= MAX_WORKERS:
            raise UsageError(f"--cores {self.cores} is not between 1 and {MAX_WORKERS}: the workers of one machine")
        if self.network not in NETWORKS:
            raise UsageError(f"--network {self.network} is none of {', '.join(NETWORKS)}")
        for name, value, most in (
            ("context", self.context, 8192),
            ("gbit", self.gigabits, 10_000),
            ("latency-ms", self.latency_ms, 10_000),
            ("sync-every", self.sync_every, 10_000),
        ):
            if not 0 < value <= most:
                raise UsageError(f"--{name} {value:g} is not between 0 and {most:,}")

    @property
    def link(self) -> Link:
        return Link(latency=self.latency_ms / 1000, bytes_per_second=self.gigabits * 1e9 / 8)


NETWORKS = {f"{n_layer}x{n_embd}": number for number, (n_layer, n_embd, _, _) in enumerate(LADDER)}


def simulate(question: Question, report: Reporter) -> dict[str, Any]:
    """Measure this machine; then what a step takes so many workers, and the most of them by each fan-out."""
    machine = describe()
    report.phase("measure")
    model, dtype = rung(NETWORKS[question.network], VOCABULARY), default_dtype(machine)
    with start_nursery() as nursery:
        load_kernels(nursery)
        with launch_measurers(machine.cores, nursery) as sphere:
            costs = calibrated(sphere, model, dtype, question.context)
    shapes = [shape_of(number, question) for number in question.workers]
    largest = max(shapes, key=lambda shape: shape.workers)
    trees = [dataclasses.replace(largest, fanout=number) for number in (*FANOUTS, largest.machines) if number > 1]
    return {
        "question": dataclasses.asdict(question),
        "parameters": num_parameters(model),
        "costs": dataclasses.asdict(costs),
        "workers": [row(costs, shape, question.link) for shape in shapes],
        "fanouts": [row(costs, shape, question.link) for shape in trees] if largest.machines > 1 else [],
        "machine": {"cpu": machine.cpu, "cores": machine.cores, "dtype": dtype},
    }


def shape_of(workers: int, question: Question) -> Shape:
    """So many workers, a machine's cores on each; one core a worker."""
    machines = -(-workers // question.cores)
    return Shape(
        workers=workers,
        cores=question.cores,
        machines=machines,
        levels=max(1 if machines == 1 else 2, levels_for(workers)),
        sync_every=question.sync_every,
    )


def row(costs: Costs, shape: Shape, link: Link) -> dict[str, Any]:
    """A shape, and what it takes."""
    cost = step_cost(costs, shape, link)
    return {
        **dataclasses.asdict(shape),
        **dataclasses.asdict(cost),
        "seconds": cost.seconds,
        "tokens_per_second": cost.tokens / cost.seconds,
        "efficiency": efficiency(costs, shape, link),
    }


def calibrated(sphere: Sphere, model: TransformerConfig, dtype: str, context: int) -> Costs:
    """What this machine takes, with all of its cores at work."""
    speed = measured(sphere, model, dtype, [(context, 1)], Recipe())
    arguments = {"model": dataclasses.asdict(model), "dtype": dtype}
    sums = sphere.call_all("measure_sums", [arguments] * len(sphere.workers))
    began = time.perf_counter()
    for _ in range(MESSAGES):
        sphere.call_all("answer")
    message = (time.perf_counter() - began) / MESSAGES / len(sphere.workers)
    return Costs(
        position=speed.positions[0],
        update=speed.update,
        largest_share={number: largest_share(model, number) for number in range(1, MAX_WORKERS + 1)},
        sum_bytes_per_second=statistics.mean(sums),
        message=message,
        numbers=vector_size(model),
        row_bytes=2 if dtype == "bfloat16" else 4,
        tokens=context,
    )
