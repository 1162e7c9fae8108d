"""The model that a run has trained, and the memory that belongs to it."""

from dataclasses import dataclass
from typing import Any

from cllm.artifacts import MANIFEST, read_object, sha256_of, verify_directory
from cllm.errors import ArtifactError, UsageError
from cllm.evaluation.scorecard import ScoredModel
from cllm.training.plan import Engine
from cllm.workspace.run import Run


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """The dtype in which a run's model was trained and is scored, and the SHA-256 (hex) of its weights."""

    dtype: str
    weights_sha256: str


def find_trained_model(run: Run) -> TrainedModel | None:
    """The run's model, verified; None if it is not trained yet, or a file of it is damaged."""
    try:
        model = open_trained_model(run)
        read_object(run.training_path)
    except ArtifactError:
        return None
    return model


def open_trained_model(run: Run) -> TrainedModel:
    """The run's model; ArtifactError if a file of it is missing or damaged, or its manifest lacks a key."""
    manifest = verify_directory(run.model_path)
    return TrainedModel(dtype=_dtype(manifest, run), weights_sha256=_weights_sha256(manifest, run))


def has_memory(run: Run, model: TrainedModel) -> bool:
    """Whether the run's memory exists, verifies, and belongs to its model."""
    try:
        return bool(verify_directory(run.memory_path).get("weights_sha256") == model.weights_sha256)
    except ArtifactError:
        return False


def has_update(run: Run) -> bool:
    """Whether the update of the run's memory exists, and belongs to it."""
    try:
        return bool(read_object(run.update_path / MANIFEST).get("base") == sha256_of(run.memory_path / MANIFEST))
    except (ArtifactError, FileNotFoundError):
        return False


def scored_model(run: Run, model: TrainedModel) -> ScoredModel:
    """The run's model with its memory and corpus, for evaluation."""
    return ScoredModel(
        model=run.model_path,
        dtype=model.dtype,
        weights_sha256=model.weights_sha256,
        memory=run.memory_path,
        corpus=run.corpus_path,
    )


def open_scored_model(run: Run) -> ScoredModel:
    """As `scored_model`, verified; ArtifactError also if the memory belongs to another model."""
    model = open_trained_model(run)
    if verify_directory(run.memory_path).get("weights_sha256") != model.weights_sha256:
        raise ArtifactError(f"{run.memory_path} is not the memory of {run.model_path}: train again with --fresh")
    return scored_model(run, model)


def _weights_sha256(manifest: dict[str, Any], run: Run) -> str:
    if not isinstance(digest := manifest.get("weights_sha256"), str):
        raise ArtifactError(f"the manifest of {run.model_path} has no weights_sha256: train again with --fresh")
    return digest


def _dtype(manifest: dict[str, Any], run: Run) -> str:
    try:
        return Engine(**manifest["engine"]).dtype
    except (KeyError, TypeError, UsageError) as error:
        raise ArtifactError(
            f"the manifest of {run.model_path} does not give the engine that the model was trained with: {error}"
        ) from None
