"""`cllm bench seed`: the predecessor's task, ten epochs of a repository with a network of its shape.

The predecessor, a C program, processed 40 to 53 tokens/s on two cores and never updated a weight.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from cllm.bench.shared.config import BenchmarkConfig, corpus_report, environment_report
from cllm.bench.shared.dataset import BenchmarkDataset, prepare_dataset
from cllm.bench.shared.plans import PlanFactory, network_config
from cllm.bench.shared.round_robin import TrainingProgress
from cllm.bench.shared.trainer import CllmTrainer
from cllm.machine import anonymous_set_size
from cllm.progress import Reporter
from cllm.spheres import Sphere
from cllm.spheres.order import FANOUT
from cllm.training.plan import Phase, Plan

MEMORY_SAMPLE_SECONDS = 5.0  # interval of the memory samples
SETTLED_SHARE = 0.25  # share of the run after which memory is expected to be flat


def bench_seed(config: BenchmarkConfig, epochs: int, report: Reporter) -> dict[str, Any]:
    """Train for `epochs` epochs; return seconds, speed, bits per byte and memory over time."""
    report.start_phase("prepare")
    with config.ingest_corpus() as (corpus, folder):
        dataset = prepare_dataset(corpus, folder / "recipe", config.recipe.vocab_size, config.seed)
        make_plan = epochs_plan_factory(config, dataset, epochs)
        with CllmTrainer("ours", dataset, config.num_workers, make_plan) as ours:
            memory_samples = train_and_sample_memory(
                ours, epochs * dataset.train_tokens, TrainingProgress(report, "learn", 1.0)
            )
            point = ours.evaluate()
        return {
            **asdict(point),
            "epochs": epochs,
            "tokens_per_second": ours.tokens_per_second,
            "peak_memory_bytes": ours.peak_memory_bytes,
            "memory_samples": memory_samples,
            "memory_bytes_per_minute": bytes_per_minute(memory_samples),
            "corpus": corpus_report(corpus, dataset),
            **environment_report(config),
        }


def epochs_plan_factory(config: BenchmarkConfig, dataset: BenchmarkDataset, epochs: int) -> PlanFactory:
    """Return a factory of plans for `epochs` epochs, without a time limit."""
    recipe = config.recipe
    steps = max(1, round(epochs * dataset.train_tokens / (FANOUT * recipe.context_length)))

    def make_plan(_: Sphere) -> Plan:
        phase = Phase(context=recipe.context_length, rows=1, until=1.0, steps=steps)
        model = network_config(recipe, dataset.vocab_size)
        return Plan(model=model, phases=(phase,), engine=config.engine, seed=config.seed)

    return make_plan


def train_and_sample_memory(ours: CllmTrainer, tokens: int, progress: TrainingProgress) -> list[tuple[float, int]]:
    """Train to the end; return samples (seconds, bytes of anonymous memory)."""
    found: list[tuple[float, int]] = []
    while not ours.is_done:
        before = ours.tokens
        ours.train_until(ours.seconds + MEMORY_SAMPLE_SECONDS)
        found.append((ours.seconds, anonymous_set_size(ours.pids)))
        progress.add((ours.tokens - before) / tokens, f"{ours.tokens_per_second:,.0f} tokens/s")
    return found


def bytes_per_minute(memory_samples: list[tuple[float, int]]) -> float | None:
    """Return the growth of memory in bytes per minute, by least squares over the last 75% of the run.

    None if there are fewer than 3 samples.
    """
    settled = [pair for pair in memory_samples if pair[0] >= SETTLED_SHARE * memory_samples[-1][0]]
    if len(settled) < 3:
        return None
    seconds, size = np.array(settled, np.float64).T
    return float(np.polyfit(seconds / 60, size, 1)[0])
