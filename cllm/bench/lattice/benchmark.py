"""`cllm bench lattice`: the effect of each lattice component on a network, in equal training time.

For each seed all networks are trained round-robin at the recipe's shape. Each is compared with the network without a
component of the same seed.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from cllm.bench.ablation.trainers import component_trainer
from cllm.bench.shared.config import BenchmarkConfig, corpus_report, environment_report
from cllm.bench.shared.dataset import prepare_dataset
from cllm.bench.shared.round_robin import score_round_robin
from cllm.progress import Reporter

COMPONENT_NAMES = ("none", "kissing words", "clock positions", "gcd bias", "no bias", "residue words", "12 classes")
NUM_SEEDS = 3
T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # Student's t, two-sided 95%, by degrees of freedom


def bench_lattice(config: BenchmarkConfig, report: Reporter) -> dict[str, Any]:
    """Return a row per component: means over the seeds, and the relative difference from no component."""
    report.start_phase("prepare")
    with config.ingest_corpus() as (corpus, folder):
        dataset = prepare_dataset(corpus, folder / "recipe", config.recipe.vocab_size, config.seed)
        runs = [
            score_round_robin(
                config,
                [component_trainer(config, dataset, name, seed) for name in COMPONENT_NAMES],
                f"seed {seed}",
                report,
            )
            for seed in range(config.seed, config.seed + NUM_SEEDS)
        ]
        return {
            "components": [component_row(component_results, runs) for component_results in zip(*runs, strict=True)],
            "seconds": config.seconds,
            "seeds": NUM_SEEDS,
            "corpus": corpus_report(corpus, dataset),
            **environment_report(config),
        }


def component_row(
    component_results: Sequence[dict[str, Any]], runs: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    """Return a component's metrics over the seeds; the first result of each run is the network without a component."""
    differences = [
        each["bits_per_byte"] / run[0]["bits_per_byte"] - 1 for each, run in zip(component_results, runs, strict=True)
    ]
    mean, margin = mean_and_margin(differences)
    return {
        "name": component_results[0]["name"],
        "tokens_per_second": statistics.mean(each["tokens_per_second"] for each in component_results),
        "bits_per_byte": [each["bits_per_byte"] for each in component_results],
        "difference": mean,
        "margin": margin,
        "peak_memory_bytes": max(each["peak_memory_bytes"] for each in component_results),
    }


def mean_and_margin(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95% confidence interval, for normally distributed values."""
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), T_95[len(values) - 1] * spread
