"""`cllm bench spheres`: real steps beside what the cost model says of them; sums over sockets, flat and by trees."""

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

from cllm.bench.contest import Contest, about, circumstances
from cllm.bench.material import Material, prepare_material
from cllm.progress import Reporter
from cllm.spheres import Nursery
from cllm.spheres.cost import Costs, Link, Shape, levels_for, radices, step_cost
from cllm.stages.simulating import calibrated
from cllm.stages.workers import load_kernels, start_nursery
from cllm.training.choose import rung
from cllm.training.launch import Workers, launch_measurers, worker_environment
from cllm.training.loop import train
from cllm.training.plan import Phase, Plan, save_plan

PROCESSES = (1, 2, 3, 5, 13)
RUNG, CONTEXT = 1, 256  # 3 x 192
REPEATS = 3
WARM_STEPS = 2  # which are not counted
HERE = Link(latency=0.0, bytes_per_second=1e12)  # nothing travels
HOST = "127.0.0.1"
# Processes that sum over sockets, and by which fan-outs, such as make even trees of them; the last is flat.
LINKED = {16: (2, 4, 8, 16), 24: (12, 24)}
SUM_REPEATS = 9


def bench_spheres(contest: Contest, report: Reporter) -> dict[str, Any]:
    """Rows of real steps and predicted ones, and of sums."""
    report.phase("prepare")
    with contest.corpus() as (corpus, folder):
        material = prepare_material(corpus, folder / "spheres", contest.recipe.vocab_size, contest.seed)
        model = rung(RUNG, material.vocab_size)
        runs: dict[int, list[tuple[float, float]]] = {number: [] for number in PROCESSES}
        with start_nursery() as nursery:
            load_kernels(nursery)
            for repeat in range(REPEATS):
                with launch_measurers(contest.machine.cores, nursery) as sphere:
                    costs = calibrated(sphere, model, contest.engine.dtype, CONTEXT)
                for place, number in enumerate(PROCESSES):
                    report.phase(f"repeat {repeat + 1} of {REPEATS}")
                    report.update(place / len(PROCESSES), f"{number} workers")
                    real = step_seconds(contest, material, nursery, number)
                    runs[number].append((predicted(costs, number, contest.machine.cores), real))
        numbers = costs.numbers
        report.phase("sums")
        return {
            "steps": [step_row(number, pairs) for number, pairs in runs.items()],
            "sums": {size: [row for linked in LINKED for row in sums(linked, size)] for size in (1024, numbers)},
            "corpus": about(corpus, material),
            **circumstances(contest),
        }


def predicted(costs: Costs, workers: int, cores: int) -> float:
    """Seconds of a step on this machine, by the model."""
    return step_cost(costs, Shape(workers=workers, cores=cores, levels=levels_for(workers)), HERE).seconds


def step_row(number: int, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Means of what was predicted and what it took, and the model's error in each repeat."""
    return {
        "workers": number,
        "predicted_seconds": statistics.mean(said for said, _ in pairs),
        "seconds": statistics.mean(real for _, real in pairs),
        "errors": [said / real - 1 for said, real in pairs],
    }


def step_seconds(contest: Contest, material: Material, nursery: Nursery, number: int) -> float:
    """The median step of so many workers, in the contest's seconds."""
    levels = levels_for(number)
    phase = Phase(context=CONTEXT, rows=1, until=1.0, steps=100_000)
    plan = Plan(
        model=rung(RUNG, material.vocab_size), phases=(phase,), engine=contest.engine, levels=levels, seed=contest.seed
    )
    with tempfile.TemporaryDirectory() as folder, Workers(number, nursery, levels=levels) as workers:
        path = Path(folder) / "plan.json"
        save_plan(plan, path)
        workers.join(material.folder, plan, path, [])
        workers.sphere.call_one("initialise")
        steps, seconds = train(workers.sphere, plan, path, 0, lambda plan, _: plan, lambda: touching(workers)), []
        for step in steps:
            if step.step == WARM_STEPS:
                began = time.monotonic()
            if step.step > WARM_STEPS:
                seconds.append(step.seconds)
                if time.monotonic() - began > contest.seconds:
                    break
    return statistics.median(seconds)


def touching(workers: Workers) -> int:
    return len(workers.sphere.workers)


def sums(linked: int, numbers: int) -> list[dict[str, Any]]:
    """Seconds of a sum of so many numbers over processes with sockets between them, by fan-out."""
    command = [sys.executable, "-P", "-m", "cllm.bench.links", HOST, str(free_port()), str(linked), str(numbers)]
    command += [str(SUM_REPEATS), *map(str, LINKED[linked])]
    with ExitStack() as stack:
        processes = []
        for rank in range(linked):
            environment = {**worker_environment(), "RANK": str(rank)}
            processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
            stack.callback(processes[-1].wait)
            stack.callback(processes[-1].kill)
        out, _ = processes[0].communicate()
        assert processes[0].returncode == 0, "a process that sums over sockets failed"
    return [
        {"processes": linked, "levels": radices(linked, int(fanout)), "seconds": seconds}
        for fanout, seconds in json.loads(out).items()
    ]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])
