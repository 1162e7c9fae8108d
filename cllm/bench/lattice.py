"""`cllm bench lattice`: what the crystalline components do for a network, each alone, in equal seconds.

For each seed all networks race in turn, at the recipe's shape; what counts is how each differs from the one without, of
the same seed.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from cllm.bench.contest import Contest, about, circumstances
from cllm.bench.material import prepare_material
from cllm.bench.softmax import raced
from cllm.progress import Reporter

NAMES = ("none", "kissing words", "clock positions", "gcd bias", "no bias", "residue words", "12 classes")
SEEDS = 3
T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # Student's t for a two-sided 95%, by degrees of freedom


def bench_lattice(contest: Contest, report: Reporter) -> dict[str, Any]:
    """A row for each component: the means over the seeds, and by how much it is better or worse than none."""
    report.phase("prepare")
    with contest.corpus() as (corpus, folder):
        material = prepare_material(corpus, folder / "recipe", contest.recipe.vocab_size, contest.seed)
        runs = [
            raced(contest, [contest.crystalline(material, name, seed) for name in NAMES], f"seed {seed}", report)
            for seed in range(contest.seed, contest.seed + SEEDS)
        ]
        return {
            "components": [row_of(own, runs) for own in zip(*runs, strict=True)],
            "seconds": contest.seconds,
            "seeds": SEEDS,
            "corpus": about(corpus, material),
            **circumstances(contest),
        }


def row_of(own: Sequence[dict[str, Any]], runs: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """One component's figures, those of each seed in `own`; the first of each run is the network without."""
    differences = [each["bits_per_byte"] / run[0]["bits_per_byte"] - 1 for each, run in zip(own, runs, strict=True)]
    mean, margin = mean_and_margin(differences)
    return {
        "name": own[0]["name"],
        "tokens_per_second": statistics.mean(each["tokens_per_second"] for each in own),
        "bits_per_byte": [each["bits_per_byte"] for each in own],
        "difference": mean,
        "margin": margin,
        "peak_memory_bytes": max(each["peak_memory_bytes"] for each in own),
    }


def mean_and_margin(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and how far from it the true one is in 95 of 100 cases, if the values are normally distributed."""
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), T_95[len(values) - 1] * spread
