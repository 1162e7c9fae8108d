"""The scorecard of a finished model: its figures, and what they took on what machine."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from cllm import __version__
from cllm.artifacts import read_object, verify_directory
from cllm.corpus import Corpus
from cllm.errors import ArtifactError, UsageError
from cllm.evaluation.scorecard import (
    Subject,
    complete_prompts,
    held_out_figures,
    launch_scorers,
    main_language,
    score_files,
)
from cllm.machine import MemorySampler
from cllm.run import Run
from cllm.stages.planning import SCORECARD_SHARE
from cllm.stages.session import Session
from cllm.training.plan import Engine

PACKAGES = ("torch", "numpy", "numba", "tokenizers", "safetensors", "tree-sitter")


def score(session: Session, run: Run, environment: Mapping[str, str]) -> dict[str, Any]:
    """The figures of a run's model, measured now."""
    session.report.phase("scorecard")
    manifest = verify_directory(run.model)
    if verify_directory(run.memory).get("weights_sha256") != manifest["weights_sha256"]:
        raise ArtifactError(f"{run.memory} is not the memory of {run.model}: learn again with --fresh")
    corpus = Corpus.open(run.corpus)
    subject = Subject(model=run.model, dtype=computed_in(manifest, run), memory=run.memory, corpus=run.corpus)
    seconds = max(SCORECARD_SHARE * session.options.minutes * 60, session.seconds_left)
    with launch_scorers(session.num_workers, environment) as sphere:
        results = score_files(sphere, subject, corpus, seconds, session.options.seed, session.report.update)
        language = main_language(corpus)
        syntax = complete_prompts(sphere, subject, language) if language else {}
    return {
        **held_out_figures(results, corpus.val),
        "language": language,
        "syntax": syntax,
        "weights_sha256": manifest["weights_sha256"],
    }


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
