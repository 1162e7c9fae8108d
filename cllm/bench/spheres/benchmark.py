"""`cllm bench spheres`: measured steps compared with the cost model's prediction; all-reduce, flat and by trees."""

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cllm.bench.shared.config import BenchmarkConfig, corpus_report, environment_report
from cllm.bench.shared.dataset import BenchmarkDataset, prepare_dataset
from cllm.operations.simulate import measure_costs
from cllm.progress import Reporter
from cllm.spheres import ForkServer
from cllm.spheres.cost import Costs, Link, Topology, levels_for, radices, step_cost
from cllm.stages.workers import load_kernels, start_fork_server
from cllm.training.choose import config_of_size
from cllm.training.launch import Workers, launch_measurers, worker_environment
from cllm.training.loop import train
from cllm.training.plan import Phase, Plan, save_plan

WORKER_COUNTS = (1, 2, 3, 5, 13)
RUNG, CONTEXT = 1, 256  # 3 x 192
REPEATS = 3
WARMUP_STEPS = 2  # not measured
NO_LINK = Link(latency_seconds=0.0, bytes_per_second=1e12)  # no communication cost
HOST = "127.0.0.1"
# Number of all-reduce processes, and fan-outs that give balanced trees; the last is flat.
FANOUTS = {16: (2, 4, 8, 16), 24: (12, 24)}
ALL_REDUCE_REPEATS = 9


def bench_spheres(config: BenchmarkConfig, report: Reporter) -> dict[str, Any]:
    """Return rows of measured and predicted steps, and of all-reduce times."""
    report.start_phase("prepare")
    with config.ingest_corpus() as (corpus, folder):
        dataset = prepare_dataset(corpus, folder / "spheres", config.recipe.vocab_size, config.seed)
        model = config_of_size(RUNG, dataset.vocab_size)
        runs: dict[int, list[tuple[float, float]]] = {number: [] for number in WORKER_COUNTS}
        with start_fork_server() as fork_server:
            load_kernels(fork_server)
            for repeat in range(REPEATS):
                with launch_measurers(config.machine.cores, fork_server) as sphere:
                    costs = measure_costs(sphere, model, config.engine.dtype, CONTEXT)
                for index, number in enumerate(WORKER_COUNTS):
                    report.start_phase(f"repeat {repeat + 1} of {REPEATS}")
                    report.update(index / len(WORKER_COUNTS), f"{number} workers")
                    measured = measure_step_seconds(config, dataset, fork_server, number)
                    runs[number].append((predict_step_seconds(costs, number, config.machine.cores), measured))
        num_values = costs.vector_size
        report.start_phase("sums")
        return {
            "steps": [step_row(number, pairs) for number, pairs in runs.items()],
            "all_reduce": {
                size: [row for num_processes in FANOUTS for row in measure_all_reduce(num_processes, size)]
                for size in (1024, num_values)
            },
            "corpus": corpus_report(corpus, dataset),
            **environment_report(config),
        }


def predict_step_seconds(costs: Costs, workers: int, cores: int) -> float:
    """Return the cost model's seconds of a step on this machine."""
    return step_cost(costs, Topology(workers=workers, cores=cores, levels=levels_for(workers)), NO_LINK).seconds


def step_row(number: int, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Return the means of predicted and measured seconds, and the model's relative error in each repeat."""
    return {
        "workers": number,
        "predicted_seconds": statistics.mean(prediction for prediction, _ in pairs),
        "seconds": statistics.mean(measured for _, measured in pairs),
        "errors": [prediction / measured - 1 for prediction, measured in pairs],
    }


def measure_step_seconds(
    config: BenchmarkConfig, dataset: BenchmarkDataset, fork_server: ForkServer, number: int
) -> float:
    """Return the median seconds of a step with `number` workers, measured for `config.seconds`."""
    levels = levels_for(number)
    phase = Phase(context=CONTEXT, rows=1, until=1.0, steps=100_000)
    plan = Plan(
        model=config_of_size(RUNG, dataset.vocab_size),
        phases=(phase,),
        engine=config.engine,
        levels=levels,
        seed=config.seed,
    )
    with tempfile.TemporaryDirectory() as folder, Workers(number, fork_server, levels=levels) as workers:
        path = Path(folder) / "plan.json"
        save_plan(plan, path)
        workers.load_run(dataset.folder, plan, path, [])
        workers.sphere.call_one("initialise")
        steps, seconds = train(workers.sphere, plan, path, 0, lambda plan, _: plan, lambda: count_workers(workers)), []
        for step in steps:
            if step.step == WARMUP_STEPS:
                began = time.monotonic()
            if step.step > WARMUP_STEPS:
                seconds.append(step.seconds)
                if time.monotonic() - began > config.seconds:
                    break
    return statistics.median(seconds)


def count_workers(workers: Workers) -> int:
    return len(workers.sphere.workers)


def measure_all_reduce(num_processes: int, num_values: int) -> list[dict[str, Any]]:
    """Return the seconds of an all-reduce of `num_values` numbers over sockets, by fan-out."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "cllm.bench.spheres.all_reduce",
        HOST,
        str(free_port()),
        str(num_processes),
        str(num_values),
    ]
    command += [str(ALL_REDUCE_REPEATS), *map(str, FANOUTS[num_processes])]
    with ExitStack() as stack:
        processes = []
        for rank in range(num_processes):
            environment = {**worker_environment(), "RANK": str(rank)}
            processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
            stack.callback(processes[-1].wait)
            stack.callback(processes[-1].kill)
        out, _ = processes[0].communicate()
        assert processes[0].returncode == 0, "an all-reduce process failed"
    return [
        {"processes": num_processes, "levels": radices(num_processes, int(fanout)), "seconds": seconds}
        for fanout, seconds in json.loads(out).items()
    ]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])
