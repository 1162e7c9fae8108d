"""Configuration and environment report of a benchmark."""

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cllm import __version__
from cllm.bench.shared.dataset import BenchmarkDataset
from cllm.bench.shared.plans import recipe_plan_factory
from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.bench.shared.trainer import CllmTrainer
from cllm.corpus import Corpus
from cllm.corpus.ingest import CorpusConfig, ingest
from cllm.errors import UsageError
from cllm.machine import Machine, default_dtype, detect_machine
from cllm.spheres import FANOUT
from cllm.training.engine import engine_of
from cllm.training.plan import Engine
from cllm.workspace.run import existing_directory

BASELINE_PACKAGE = "transformers"
PACKAGES = ("torch", "numpy", "numba", "tokenizers")


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """A repository, the training seconds of each trainer, the recipe's shape and the machine.

    Raises UsageError if `seconds` or `seed` is out of range.
    """

    root: Path
    seconds: float = 600.0
    seed: int = 0
    recipe: NanoGptRecipe = NanoGptRecipe()
    machine: Machine = field(default_factory=detect_machine)

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= 86_400:
            raise UsageError(f"--seconds {self.seconds:g} is not between 1 and 86400 (a day)")
        if not 0 <= self.seed < 1 << 31:
            raise UsageError(f"--seed {self.seed} is not between 0 and {(1 << 31) - 1}")

    @property
    def num_workers(self) -> int:
        """Workers of cllm's trainers: one per core, at most FANOUT."""
        return min(self.machine.cores, FANOUT)

    @property
    def engine(self) -> Engine:
        """The engine of cllm on this machine."""
        return engine_of(self.machine, default_dtype(self.machine))

    @contextmanager
    def ingest_corpus(self) -> Iterator[tuple[Corpus, Path]]:
        """Yield the repository's corpus and a temporary folder; nothing is written to the repository."""
        with tempfile.TemporaryDirectory(prefix="cllm-bench-") as scratch:
            folder = Path(scratch)
            yield ingest(existing_directory(self.root), folder / "corpus", CorpusConfig()), folder

    def ours(self, dataset: BenchmarkDataset, seconds: float, name: str = "ours") -> CllmTrainer:
        """Return cllm's trainer with a network of the recipe's shape."""
        plan = recipe_plan_factory(self.recipe, dataset, self.engine, seconds, self.seed)
        return CllmTrainer(name, dataset, self.num_workers, plan)


def require_baseline() -> None:
    """Raise UsageError if the baseline's package is not installed."""
    if importlib.util.find_spec(BASELINE_PACKAGE) is None:
        raise UsageError(f"the baseline's package {BASELINE_PACKAGE} is not installed: pip install 'cllm[bench]'")


def corpus_report(corpus: Corpus, dataset: BenchmarkDataset) -> dict[str, Any]:
    """Return the sizes of training and scored data, for a report."""
    return {
        "files": len(corpus.train),
        "bytes": dataset.train_bytes,
        "tokens": dataset.train_tokens,
        "vocab_size": dataset.vocab_size,
        "scored_files": len(dataset.scored_bytes),
        "scored_bytes": sum(dataset.scored_bytes),
    }


def environment_report(config: BenchmarkConfig) -> dict[str, Any]:
    """Return seed, recipe, engine, machine and versions, for a report."""
    return {
        "seed": config.seed,
        "recipe": asdict(config.recipe),
        "engine": asdict(config.engine),
        **machine_report(config.machine),
    }


def machine_report(machine: Machine) -> dict[str, Any]:
    """Return the machine and the versions of the packages."""
    installed = [*PACKAGES, BASELINE_PACKAGE] if importlib.util.find_spec(BASELINE_PACKAGE) else PACKAGES
    return {
        "machine": {**asdict(machine), "features": sorted(machine.features or ())},
        "versions": {"cllm": __version__, **{name: importlib.metadata.version(name) for name in installed}},
    }
