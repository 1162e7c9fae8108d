"""Trainers of `cllm bench train`: nanoGPT's recipe, and a full run of `cllm train`."""

from dataclasses import asdict, replace

from cllm.bench.shared.config import BenchmarkConfig
from cllm.bench.shared.dataset import BenchmarkDataset
from cllm.bench.shared.plans import cllm_train_plan_factory
from cllm.bench.shared.trainer import CllmTrainer, SingleProcessTrainer


def stock_trainer(
    config: BenchmarkConfig, dataset: BenchmarkDataset, seconds: float, lr: float, compiled: bool = False
) -> SingleProcessTrainer:
    """Return nanoGPT's recipe at a learning rate: float32 and eager, or compiled in the engine's dtype."""
    return SingleProcessTrainer(
        f"{'compiled' if compiled else 'stock'} at {lr:g}",
        "cllm.bench.training.gpt2",
        dataset,
        seconds,
        config.machine.cores,
        config.seed,
        recipe=asdict(replace(config.recipe, lr=lr)),
        compiled=compiled,
        dtype=config.engine.dtype if compiled else "float32",
    )


def cllm_train_trainer(config: BenchmarkConfig, dataset: BenchmarkDataset, seconds: float) -> CllmTrainer:
    """Return a trainer with the choices of `cllm train` for `seconds` of training."""
    plan = cllm_train_plan_factory(dataset, config.engine, seconds, config.seed, config.machine.available_bytes)
    return CllmTrainer(f"cllm train in {seconds:.0f} s", dataset, config.num_workers, plan, counts_planning_time=True)
