"""`cllm bench train`: cllm's trainer and nanoGPT's recipe on the same documents, tokenizer and machine, round-robin.

In the comparison, each trainer has the same seconds by its own clock, in alternating slices:

    stock      GPT-2 of Transformers with nanoGPT's recipe, float32, eager
    compiled   the same with torch.compile, and autocast where the processor multiplies bfloat16
    ours       cllm's trainer at the recipe's shape and vocabulary

The first two run at a learning rate of 0.001, and at the best of several rates in a quarter of the time; the better
result counts.

Between the slices, full runs with the choices of `cllm train` are made, each with its own time budget. The curve of
their results gives the time in which cllm reaches the recipe's loss. Held-out documents are scored, each token with at
least half a context before it; scoring is on no clock.
"""

import shutil
import sysconfig
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from cllm.bench.shared.config import BenchmarkConfig, corpus_report, environment_report, require_baseline
from cllm.bench.shared.dataset import BenchmarkDataset, prepare_dataset
from cllm.bench.shared.plans import network_config
from cllm.bench.shared.round_robin import NUM_SLICES, TrainingProgress, seconds_to_reach, train_round_robin
from cllm.bench.shared.trainer import CllmTrainer, CurvePoint, SingleProcessTrainer, TimedTrainer
from cllm.bench.training.trainers import cllm_train_trainer, stock_trainer
from cllm.progress import Reporter
from cllm.spheres import ForkServer, Sphere
from cllm.stages.plan import measure_speed
from cllm.training.choose import vocab_size_for
from cllm.training.launch import worker_environment
from cllm.training.plan import TrainingConfig

EVALUATED_SLICES = (1, 2, 4, 7, 11, 16, NUM_SLICES)  # slices after which the contenders are scored
SWEEP = (5e-4, 1e-3, 2e-3, 4e-3)  # learning rates
SWEEP_SHARE = 0.25  # share of `seconds` for each rate
# Slices after which full runs are made, and their budgets as shares of `seconds`.
FULL_RUNS = {2: 1 / 60, 4: 1 / 40, 6: 1 / 30, 8: 1 / 20, 10: 1 / 15, 12: 1 / 10, 14: 1 / 8, 16: 1 / 5}


@dataclass
class Comparison:
    """The trainers of the comparison, and measurements during it."""

    stock_trainers: list[SingleProcessTrainer]  # one for each learning rate
    compiled_trainers: list[SingleProcessTrainer]  # one per learning rate; none without a C++ compiler
    ours: CllmTrainer
    peak_gflops_samples: list[float] = field(default_factory=list)  # GFLOP/s
    full_runs: list[CurvePoint] = field(default_factory=list)

    @property
    def all(self) -> list[TimedTrainer]:
        return [*self.stock_trainers, *self.compiled_trainers, self.ours]


def bench_train(config: BenchmarkConfig, report: Reporter) -> dict[str, Any]:
    """Run the benchmark and return all its metrics."""
    require_baseline()
    report.start_phase("prepare")
    with config.ingest_corpus() as (corpus, folder):
        recipe_dataset = prepare_dataset(corpus, folder / "recipe", config.recipe.vocab_size, config.seed)
        vocab_size = vocab_size_for(sum(document.bytes for document in corpus.train))
        cllm_dataset = prepare_dataset(corpus, folder / "chosen", vocab_size, config.seed)
        rates = sweep(config, recipe_dataset, report)
        best = min(rates, key=lambda found: found["bits_per_byte"])["lr"]
        return {
            **compare_trainers(config, recipe_dataset, cllm_dataset, best, report),
            "sweep": rates,
            "cold_kernels_seconds": cold_kernels_seconds(config, recipe_dataset),
            "seconds": config.seconds,
            "corpus": corpus_report(corpus, recipe_dataset),
            **environment_report(config),
        }


def sweep(config: BenchmarkConfig, dataset: BenchmarkDataset, report: Reporter) -> list[dict[str, float]]:
    """Return the stock recipe's bits per byte after a quarter of `config.seconds`, at each learning rate."""
    seconds = config.seconds * SWEEP_SHARE
    with ExitStack() as stack:
        swept = [stack.enter_context(stock_trainer(config, dataset, seconds, lr)) for lr in SWEEP]
        for _ in train_round_robin(swept, seconds, TrainingProgress(report, "sweep", seconds * len(swept))):
            pass
        return [
            {"lr": lr, "bits_per_byte": each.evaluate().bits_per_byte} for lr, each in zip(SWEEP, swept, strict=True)
        ]


def compare_trainers(
    config: BenchmarkConfig,
    recipe_dataset: BenchmarkDataset,
    cllm_dataset: BenchmarkDataset,
    lr: float,
    report: Reporter,
) -> dict[str, Any]:
    """Run the comparison, with full runs between its slices, and return its metrics."""
    seconds, dtype = config.seconds, config.engine.dtype
    with ExitStack() as stack:
        rates = sorted({config.recipe.lr, lr})
        stock_trainers = [stock_trainer(config, recipe_dataset, seconds, rate) for rate in rates]
        compiled_rates = rates if can_compile(report) else []
        compiled_trainers = [
            stock_trainer(config, recipe_dataset, seconds, rate, compiled=True) for rate in compiled_rates
        ]
        comparison = Comparison(stock_trainers, compiled_trainers, config.ours(recipe_dataset, seconds))
        for trainer in comparison.all:
            stack.enter_context(trainer)
        progress = TrainingProgress(report, "race", seconds * (len(comparison.all) + sum(FULL_RUNS.values())))
        for number in train_round_robin(comparison.all, seconds, progress):
            if number in EVALUATED_SLICES:
                comparison.peak_gflops_samples.append(stock_trainers[0].measure_peak_gflops(dtype))
                found = [f"{each.name} {each.evaluate().bits_per_byte:.3f}" for each in comparison.all]
                report.log(f"after {seconds * number / NUM_SLICES:.0f} s: {', '.join(found)} bits per byte")
            if number in FULL_RUNS:
                comparison.full_runs.append(
                    run_full_training(config, cllm_dataset, seconds * FULL_RUNS[number], progress)
                )
        return comparison_metrics(config, comparison)


def can_compile(report: Reporter) -> bool:
    """Return whether torch.compile has a C++ compiler and Python's headers; log a line if not."""
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    found = shutil.which("g++") is not None and headers.exists()
    if not found:
        report.log("the compiled recipe is skipped: torch.compile needs a C++ compiler (g++) and Python's headers")
    return found


def run_full_training(
    config: BenchmarkConfig, dataset: BenchmarkDataset, seconds: float, progress: TrainingProgress
) -> CurvePoint:
    """Train once with the choices of `cllm train` in `seconds`, and score the result."""
    with cllm_train_trainer(config, dataset, seconds) as trainer:
        trainer.train_until(float("inf"))
        point = trainer.evaluate()
    progress.add(trainer.seconds, trainer.name)
    progress.log(f"{trainer.name}: {point.bits_per_byte:.3f} bits per byte after {point.seconds:.1f} s")
    return point


def comparison_metrics(config: BenchmarkConfig, comparison: Comparison) -> dict[str, Any]:
    """Return the metrics of a finished comparison."""
    stock, peak_gflops, recipe = (
        min(comparison.stock_trainers, key=best_bits_per_byte),
        median(comparison.peak_gflops_samples),
        config.recipe,
    )
    stock_bits_per_byte, vocab_size = best_bits_per_byte(stock), stock.dataset.vocab_size
    peak_tokens_per_second = peak_gflops * 1e9 / recipe.training_flops_per_token(vocab_size)
    our_peak_tokens_per_second = (
        peak_gflops * 1e9 / network_config(recipe, vocab_size).training_flops_per_token(recipe.context_length)
    )
    ours = trainer_metrics(comparison.ours, stock_bits_per_byte, our_peak_tokens_per_second)
    compiled = min(comparison.compiled_trainers, key=best_bits_per_byte, default=None)
    return {
        "stock": trainer_metrics(stock, stock_bits_per_byte, peak_tokens_per_second),
        "compiled": trainer_metrics(compiled, stock_bits_per_byte, peak_tokens_per_second) if compiled else None,
        "ours": ours,
        "baselines": [
            trainer_metrics(each, stock_bits_per_byte, peak_tokens_per_second)
            for each in (*comparison.stock_trainers, *comparison.compiled_trainers)
        ],
        "full_runs": [asdict(point) for point in comparison.full_runs],
        "ratio_to_stock": comparison.ours.tokens_per_second / stock.tokens_per_second,
        "seconds_to_stock_loss": seconds_to_reach(comparison.full_runs, stock_bits_per_byte),
        "matrix_peak_gflops": peak_gflops,
        "matrix_peak_share": ours["matrix_peak_share"],
    }


def best_bits_per_byte(trainer: TimedTrainer) -> float:
    """Return the lowest bits per byte of the curve: if many epochs overfit, that checkpoint would be kept."""
    return min(point.bits_per_byte for point in trainer.curve)


def trainer_metrics(trainer: TimedTrainer, stock_bits_per_byte: float, peak_tokens_per_second: float) -> dict[str, Any]:
    """Return a trainer's metrics; `peak_tokens_per_second` is its speed at the machine's matrix peak."""
    return {
        "name": trainer.name,
        "tokens_per_second": trainer.tokens_per_second,
        "bits_per_byte": best_bits_per_byte(trainer),
        "seconds_to_stock_loss": seconds_to_reach(trainer.curve, stock_bits_per_byte),
        "matrix_peak_share": trainer.tokens_per_second / peak_tokens_per_second,
        "peak_memory_bytes": trainer.peak_memory_bytes,
        "setup_seconds": trainer.setup_seconds,  # measuring and planning, or compiling: not on the trainer's clock
        "curve": [asdict(point) for point in trainer.curve],
    }


def cold_kernels_seconds(config: BenchmarkConfig, dataset: BenchmarkDataset) -> float:
    """Return the additional seconds of the first micro-batch if no kernel has been compiled before."""
    model = network_config(config.recipe, dataset.vocab_size)
    shapes = [(config.recipe.context_length, 1)]
    durations = []
    with tempfile.TemporaryDirectory(prefix="cllm-bench-") as empty:
        for environment in ({**worker_environment(), "NUMBA_CACHE_DIR": empty}, worker_environment()):
            with (
                ForkServer([CllmTrainer.module], environment) as fork_server,
                Sphere(fork_server, CllmTrainer.module, 1) as sphere,
            ):
                sphere.call_one("ping")
                began = time.perf_counter()
                measure_speed(sphere, model, config.engine.dtype, shapes, TrainingConfig())
                durations.append(time.perf_counter() - began)
    cold, warm = durations
    return cold - warm
