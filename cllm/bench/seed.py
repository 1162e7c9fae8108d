"""`cllm bench seed`: the predecessor's own job, ten passes over a repository by a network of its shape, now.

Its C program did 40 to 53 tokens a second on two cores, and never updated a weight.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from cllm.bench.contender import Ours
from cllm.bench.contest import Contest, about, circumstances
from cllm.bench.material import Material, prepare_material
from cllm.bench.plans import PlanOf, network_of
from cllm.bench.race import Course
from cllm.machine import written_set_size
from cllm.progress import Reporter
from cllm.spheres import Sphere
from cllm.spheres.order import POSITIONS
from cllm.training.plan import Phase, Plan

LOOK_SECONDS = 5.0  # between two looks at the memory
SETTLED = 0.25  # share of the run after which memory is expected to be flat


def bench_seed(contest: Contest, epochs: int, report: Reporter) -> dict[str, Any]:
    """Seconds, speed, and memory over time."""
    report.phase("prepare")
    with contest.corpus() as (corpus, folder):
        material = prepare_material(corpus, folder / "recipe", contest.recipe.vocab_size, contest.seed)
        plan_of = passes_plan(contest, material, epochs)
        with Ours("ours", material, contest.num_workers, plan_of) as ours:
            memory = watched(ours, epochs * material.train_tokens, Course(report, "learn", 1.0))
            point = ours.look()
        return {
            **asdict(point),
            "epochs": epochs,
            "tokens_per_second": ours.tokens_per_second,
            "peak_memory_bytes": ours.peak_memory_bytes,
            "memory": memory,
            "memory_bytes_per_minute": slope_per_minute(memory),
            "corpus": about(corpus, material),
            **circumstances(contest),
        }


def passes_plan(contest: Contest, material: Material, epochs: int) -> PlanOf:
    """So many passes over the repository, however long they take."""
    recipe = contest.recipe
    steps = max(1, round(epochs * material.train_tokens / (POSITIONS * recipe.context)))

    def plan_of(_: Sphere) -> Plan:
        phase = Phase(context=recipe.context, rows=1, until=1.0, steps=steps)
        model = network_of(recipe, material.vocab_size)
        return Plan(model=model, phases=(phase,), engine=contest.engine, seed=contest.seed)

    return plan_of


def watched(ours: Ours, tokens: int, course: Course) -> list[tuple[float, int]]:
    """Learn to the end; (seconds, bytes of memory that is no file's) on the way."""
    found: list[tuple[float, int]] = []
    while not ours.is_done:
        before = ours.tokens
        ours.learn(ours.seconds + LOOK_SECONDS)
        found.append((ours.seconds, written_set_size(ours.pids)))
        course.went((ours.tokens - before) / tokens, f"{ours.tokens_per_second:,.0f} tokens/s")
    return found


def slope_per_minute(memory: list[tuple[float, int]]) -> float | None:
    """Bytes a minute by which memory grew, by least squares, once it had settled; None where that is too short."""
    settled = [pair for pair in memory if pair[0] >= SETTLED * memory[-1][0]]
    if len(settled) < 3:
        return None
    seconds, size = np.array(settled, np.float64).T
    return float(np.polyfit(seconds / 60, size, 1)[0])
