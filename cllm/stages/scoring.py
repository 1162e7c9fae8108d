"""The scorecard of a finished model: its figures, and what they took on what machine."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from cllm import __version__
from cllm.artifacts import read_object, verify_directory
from cllm.corpus import Corpus
from cllm.errors import ArtifactError, UsageError
from cllm.evaluation.baselines import compare
from cllm.evaluation.picture import bars
from cllm.evaluation.scorecard import (
    CORES_OF_A_SCORER,
    EXPERTS,
    Subject,
    complete_prompts,
    held_out_figures,
    launch_scorers,
    main_language,
    measure_speed,
    score_files,
)
from cllm.machine import MemorySampler
from cllm.run import Run
from cllm.spheres import Nursery
from cllm.stages.planning import SCORECARD_SHARE
from cllm.stages.session import Session
from cllm.training.plan import Engine

PACKAGES = ("torch", "numpy", "numba", "tokenizers", "safetensors", "tree-sitter")


def score(session: Session, run: Run, nursery: Nursery) -> dict[str, Any]:
    """The figures of a run's model, measured now."""
    session.report.phase("scorecard")
    subject, corpus = subject_of(run), Corpus.open(run.corpus)
    seconds = max(SCORECARD_SHARE * session.options.minutes * 60, session.seconds_left)
    with launch_scorers(max(1, session.num_workers // CORES_OF_A_SCORER), nursery) as sphere:
        results = score_files(sphere, subject, corpus, seconds, session.options.seed, session.report.update)
        language = main_language(corpus)
        syntax = complete_prompts(sphere, subject, language) if language else {}
        writing = measure_speed(sphere, subject, corpus)
        for why in sphere.replaced:
            session.report.say(f"{why}; another did what it was doing")
    return {
        **held_out_figures(results, corpus.val),
        "language": language,
        "syntax": syntax,
        "writing": writing,
        "weights_sha256": verify_directory(run.model)["weights_sha256"],
    }


def score_baselines(session: Session, run: Run, nursery: Nursery, compressors: Sequence[str]) -> dict[str, Any]:
    """The figures of other means on the same files."""
    session.report.phase("baselines")
    subject, corpus = subject_of(run), Corpus.open(run.corpus)
    with launch_scorers(session.num_workers, nursery) as sphere:
        return compare(sphere, subject, corpus, compressors, session.options.seed, session.report.update)


def drawn(card: Mapping[str, Any]) -> str:
    """Bits per byte of the baselines and of each expert, the most first, as a picture (SVG)."""
    rows = [(name, value, False) for name, value in card["baselines"]["bits_per_byte"].items() if value is not None]
    names = {"model": "network", "memory": "memory", "mixed": "both"}
    rows += [(names[expert], card["bits_per_byte"][expert], True) for expert in EXPERTS if "bits_per_byte" in card]
    return bars("bits per byte of held-out files (less is better)", sorted(rows, key=lambda row: -row[1]))


def subject_of(run: Run) -> Subject:
    """A run's model and memory, which must belong together."""
    manifest = verify_directory(run.model)
    if verify_directory(run.memory).get("weights_sha256") != manifest["weights_sha256"]:
        raise ArtifactError(f"{run.memory} is not the memory of {run.model}: learn again with --fresh")
    return Subject(model=run.model, dtype=computed_in(manifest, run), memory=run.memory, corpus=run.corpus)


def computed_in(manifest: dict[str, Any], run: Run) -> str:
    """The dtype that a model was learned in, and is scored in."""
    try:
        return Engine(**manifest["engine"]).dtype
    except (KeyError, TypeError, UsageError) as error:
        raise ArtifactError(
            f"the manifest of {run.model} does not say what the model was learned with: {error}"
        ) from None


def account(session: Session, run: Run, memory: MemorySampler) -> dict[str, Any]:
    """What the whole command took, on what."""
    machine = dataclasses.asdict(session.machine)
    return {
        "train": read_object(run.training),
        "seconds": {"total": session.total_seconds},
        "peak_memory_bytes": memory.peak_bytes,
        "machine": {**machine, "features": sorted(session.machine.features or ())},
        "versions": {"cllm": __version__, **{name: importlib.metadata.version(name) for name in PACKAGES}},
    }
