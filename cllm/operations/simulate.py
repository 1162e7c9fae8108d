"""`cllm spheres simulate`: the cost model for more workers, with costs measured on this machine."""

import dataclasses
import statistics
import time
from dataclasses import dataclass
from typing import Any

from cllm.errors import UsageError
from cllm.machine import default_dtype, detect_machine
from cllm.model.config import TransformerConfig, num_parameters
from cllm.progress import Reporter
from cllm.spheres import FANOUT, Sphere
from cllm.spheres.cost import Costs, Link, Topology, efficiency, levels_for, step_cost
from cllm.stages.plan import measure_speed
from cllm.stages.workers import load_kernels, start_fork_server
from cllm.training.choose import MODEL_SIZES, config_of_size
from cllm.training.launch import launch_measurers
from cllm.training.layout import vector_size
from cllm.training.loop import largest_share
from cllm.training.plan import TrainingConfig

MAX_SIMULATED_WORKERS = FANOUT**4
FANOUTS = (2, 4, 8, 12, 16)
VOCAB_SIZE = 4096
NUM_MESSAGES = 200  # timed round trips


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The configurations to simulate; UsageError if a value is not allowed."""

    workers: tuple[int, ...] = (12, 144, 1728, 20_736)
    cores: int = 12  # of each machine
    network: str = "3x192"
    context_length: int = 256
    gigabits_per_second: float = 1.0  # of each machine's link
    latency_ms: float = 0.1
    sync_every: int = 1

    def __post_init__(self) -> None:
        if not all(1 <= number <= MAX_SIMULATED_WORKERS for number in self.workers):
            raise UsageError(f"--workers must be 1 to {MAX_SIMULATED_WORKERS:,} (four levels of twelve)")
        if not 1 <= self.cores <= FANOUT:
            raise UsageError(f"--cores {self.cores} is not between 1 and {FANOUT}, the workers of one machine")
        if self.network not in NETWORKS:
            raise UsageError(f"--network {self.network} is none of {', '.join(NETWORKS)}")
        for name, value, upper in (
            ("context_length", self.context_length, 8192),
            ("gbit", self.gigabits_per_second, 10_000),
            ("latency-ms", self.latency_ms, 10_000),
            ("sync-every", self.sync_every, 10_000),
        ):
            if not 0 < value <= upper:
                raise UsageError(f"--{name} {value:g} is not between 0 and {upper:,}")

    @property
    def link(self) -> Link:
        return Link(latency_seconds=self.latency_ms / 1000, bytes_per_second=self.gigabits_per_second * 1e9 / 8)


NETWORKS = {f"{n_layer}x{n_embd}": number for number, (n_layer, n_embd, _, _) in enumerate(MODEL_SIZES)}


def simulate(scenario: Scenario, report: Reporter) -> dict[str, Any]:
    """Measure this machine, then estimate a step for each number of workers, and for the largest by fan-out."""
    machine = detect_machine()
    report.start_phase("measure")
    model, dtype = config_of_size(NETWORKS[scenario.network], VOCAB_SIZE), default_dtype(machine)
    with start_fork_server() as fork_server:
        load_kernels(fork_server)
        with launch_measurers(machine.cores, fork_server) as sphere:
            costs = measure_costs(sphere, model, dtype, scenario.context_length)
    topologies = [topology_of(number, scenario) for number in scenario.workers]
    largest = max(topologies, key=lambda topology: topology.workers)
    trees = [dataclasses.replace(largest, fanout=number) for number in (*FANOUTS, largest.machines) if number > 1]
    return {
        "scenario": dataclasses.asdict(scenario),
        "parameters": num_parameters(model),
        "costs": dataclasses.asdict(costs),
        "workers": [row(costs, topology, scenario.link) for topology in topologies],
        "fanouts": [row(costs, topology, scenario.link) for topology in trees] if largest.machines > 1 else [],
        "machine": {"cpu": machine.cpu, "cores": machine.cores, "dtype": dtype},
    }


def topology_of(workers: int, scenario: Scenario) -> Topology:
    """The topology of `workers` workers, one per core, on machines of `scenario.cores` cores."""
    machines = -(-workers // scenario.cores)
    return Topology(
        workers=workers,
        cores=scenario.cores,
        machines=machines,
        levels=max(1 if machines == 1 else 2, levels_for(workers)),
        sync_every=scenario.sync_every,
    )


def row(costs: Costs, topology: Topology, link: Link) -> dict[str, Any]:
    """A topology and its estimated cost, as a JSON object."""
    cost = step_cost(costs, topology, link)
    return {
        **dataclasses.asdict(topology),
        **dataclasses.asdict(cost),
        "seconds": cost.seconds,
        "tokens_per_second": cost.tokens / cost.seconds,
        "efficiency": efficiency(costs, topology, link),
    }


def measure_costs(sphere: Sphere, model: TransformerConfig, dtype: str, context: int) -> Costs:
    """Measure the costs of this machine, with all of its cores busy."""
    speed = measure_speed(sphere, model, dtype, [(context, 1)], TrainingConfig())
    arguments = {"model": dataclasses.asdict(model), "dtype": dtype}
    sums = sphere.call_all("measure_sum_bandwidth", [arguments] * len(sphere.workers))
    began = time.perf_counter()
    for _ in range(NUM_MESSAGES):
        sphere.call_all("ping")
    message_seconds = (time.perf_counter() - began) / NUM_MESSAGES / len(sphere.workers)
    return Costs(
        micro_batch_seconds=speed.micro_batch_seconds[0],
        update_seconds=speed.update_seconds,
        largest_share={number: largest_share(model, number) for number in range(1, FANOUT + 1)},
        sum_bytes_per_second=statistics.mean(sums),
        message_seconds=message_seconds,
        vector_size=vector_size(model),
        bytes_per_value=2 if dtype == "bfloat16" else 4,
        tokens_per_micro_batch=context,
    )
