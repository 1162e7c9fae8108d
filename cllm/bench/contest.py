"""What is compared, on which machine, and the contenders that come from it."""

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cllm import __version__
from cllm.bench.contender import Alone, Ours
from cllm.bench.material import Material
from cllm.bench.plans import product_plan, recipe_plan
from cllm.bench.recipe import Recipe
from cllm.corpus import Corpus, CorpusConfig, ingest
from cllm.errors import UsageError
from cllm.machine import Machine, default_dtype, describe
from cllm.run import existing_directory
from cllm.spheres import MAX_WORKERS
from cllm.training.engine import engine_of
from cllm.training.plan import Engine

PEER = "transformers"
PACKAGES = ("torch", "numpy", "numba", "tokenizers")


@dataclass(frozen=True, kw_only=True)
class Contest:
    """A repository, seconds for each contender, and the recipe's shape."""

    root: Path
    seconds: float = 600.0
    seed: int = 0
    recipe: Recipe = Recipe()
    machine: Machine = field(default_factory=describe)

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= 86_400:
            raise UsageError(f"--seconds {self.seconds:g} is not between 1 and 86400 (a day)")
        if not 0 <= self.seed < 1 << 31:
            raise UsageError(f"--seed {self.seed} is not between 0 and {(1 << 31) - 1}")

    @property
    def num_workers(self) -> int:
        """Of our contenders: one for each core, as many as a sphere may have."""
        return min(self.machine.cores, MAX_WORKERS)

    @property
    def engine(self) -> Engine:
        """Ours, on this machine."""
        return engine_of(self.machine, default_dtype(self.machine))

    @contextmanager
    def corpus(self) -> Iterator[tuple[Corpus, Path]]:
        """The repository's documents, and a folder that goes with them; nothing is written to the repository."""
        with tempfile.TemporaryDirectory(prefix="cllm-bench-") as scratch:
            folder = Path(scratch)
            yield ingest(existing_directory(self.root), folder / "corpus", CorpusConfig()), folder

    def stock(self, material: Material, seconds: float, lr: float, compiled: bool = False) -> Alone:
        """nanoGPT's recipe at a learning rate: float32 and eager, or compiled in what the processor multiplies best."""
        return Alone(
            f"{'compiled' if compiled else 'stock'} at {lr:g}",
            "cllm.bench.gpt2",
            material,
            seconds,
            self.machine.cores,
            self.seed,
            recipe=asdict(replace(self.recipe, lr=lr)),
            compiled=compiled,
            dtype=self.engine.dtype if compiled else "float32",
        )

    def headed(self, material: Material, head: str) -> Alone:
        """Our network and recipe by autograd, with one of the heads."""
        return self._by_autograd(head, material, self.seed, head, "none")

    def crystalline(self, material: Material, component: str, seed: int) -> Alone:
        """Our network and recipe by autograd, with one of the components."""
        head = "12 classes" if component == "12 classes" else "gradient by lot"
        return self._by_autograd(component, material, seed, head, "none" if head == component else component)

    def _by_autograd(self, name: str, material: Material, seed: int, head: str, component: str) -> Alone:
        settings = {"recipe": asdict(self.recipe), "head": head, "component": component}
        return Alone(name, "cllm.bench.headed", material, self.seconds, self.machine.cores, seed, **settings)

    def ours(self, material: Material, seconds: float, name: str = "ours") -> Ours:
        """Our trainer at the recipe's shape."""
        plan = recipe_plan(self.recipe, material, self.engine, seconds, self.seed)
        return Ours(name, material, self.num_workers, plan)

    def product(self, material: Material, seconds: float) -> Ours:
        """What `cllm train` would do in so many seconds of training."""
        plan = product_plan(material, self.engine, seconds, self.seed, self.machine.available_bytes)
        return Ours(f"cllm train in {seconds:.0f} s", material, self.num_workers, plan, plans_in_time=True)


def require_peer() -> None:
    """UsageError where the peer is not installed."""
    if importlib.util.find_spec(PEER) is None:
        raise UsageError(f"{PEER}, which is compared with, is not installed: pip install 'cllm[bench]'")


def about(corpus: Corpus, material: Material) -> dict[str, Any]:
    """What is learned and scored, for a report."""
    return {
        "files": len(corpus.train),
        "bytes": material.train_bytes,
        "tokens": material.train_tokens,
        "vocab_size": material.vocab_size,
        "scored_files": len(material.scored_bytes),
        "scored_bytes": sum(material.scored_bytes),
    }


def circumstances(contest: Contest) -> dict[str, Any]:
    """On what it was measured, for a report."""
    return {
        "seed": contest.seed,
        "recipe": asdict(contest.recipe),
        "engine": asdict(contest.engine),
        **circumstances_of(contest.machine),
    }


def circumstances_of(machine: Machine) -> dict[str, Any]:
    """A machine, and the versions of what computes."""
    installed = [*PACKAGES, PEER] if importlib.util.find_spec(PEER) else PACKAGES
    return {
        "machine": {**asdict(machine), "features": sorted(machine.features or ())},
        "versions": {"cllm": __version__, **{name: importlib.metadata.version(name) for name in installed}},
    }
