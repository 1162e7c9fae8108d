"""Trainers of cllm's network and recipe by autograd, with one part changed."""

from dataclasses import asdict

from cllm.bench.shared.config import BenchmarkConfig
from cllm.bench.shared.dataset import BenchmarkDataset
from cllm.bench.shared.trainer import SingleProcessTrainer


def head_trainer(config: BenchmarkConfig, dataset: BenchmarkDataset, head: str) -> SingleProcessTrainer:
    """Return a trainer of cllm's network and recipe by autograd, with the head `head`."""
    return _autograd_trainer(config, head, dataset, config.seed, head, "none")


def component_trainer(
    config: BenchmarkConfig, dataset: BenchmarkDataset, component: str, seed: int
) -> SingleProcessTrainer:
    """Return a trainer of cllm's network and recipe by autograd, with the component `component`."""
    head = "12 classes" if component == "12 classes" else "sampled gradient"
    return _autograd_trainer(config, component, dataset, seed, head, "none" if head == component else component)


def _autograd_trainer(
    config: BenchmarkConfig, name: str, dataset: BenchmarkDataset, seed: int, head: str, component: str
) -> SingleProcessTrainer:
    settings = {"recipe": asdict(config.recipe), "head": head, "component": component}
    module, cores = "cllm.bench.ablation.autograd_trainer", config.machine.cores
    return SingleProcessTrainer(name, module, dataset, config.seconds, cores, seed, **settings)
