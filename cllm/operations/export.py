"""`cllm export`: write the current network in another program's format, and rename it to its target once verified.

The memory is not exported, as these formats have no place for it; the run's scorecard shows what that costs.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from cllm.artifacts import atomic_file, sha256_of, write_directory
from cllm.corpus import Corpus
from cllm.errors import ArtifactError, ExportError, UsageError, WorkspaceError
from cllm.export import (
    TrainedNetwork,
    build_verification_set,
    verify_gguf,
    verify_huggingface,
    write_gguf,
    write_huggingface,
)
from cllm.export.verification_set import VerificationSet
from cllm.model.config import num_parameters
from cllm.progress import Reporter
from cllm.workspace.run import Run, current_run_of, read_scorecard


def export_huggingface(root: Path, folder: Path, report: Reporter) -> dict[str, Any]:
    """Write a new folder in Hugging Face's format; returns its properties and verification results.

    Raises ExportError, and leaves nothing, if it cannot be written or differs from the trained model.
    """
    run, found = current_run_of(root), dict[str, Any]()
    with unused_path(folder) as target:
        trained, verification_set = load_run(run, report)

        def fill(temporary: Path) -> None:
            report.start_phase("write")
            write_huggingface(trained, temporary)
            report.start_phase("verify")
            found.update(verify_huggingface(trained, verification_set, temporary))

        write_directory(target, fill, kind="huggingface", weights_sha256=trained.sha256)
        size = sum(file.stat().st_size for file in target.iterdir())
    return {"format": "huggingface", "path": str(target), "bytes": size, **export_facts(run, trained), **found}


def export_gguf(root: Path, file: Path, kind: str, report: Reporter) -> dict[str, Any]:
    """Write a new GGUF file with matrices of type `kind`; returns its properties and verification results.

    Raises ExportError, and leaves nothing, if it cannot be written or differs from the trained model.
    """
    run = current_run_of(root)
    with unused_path(file) as target:
        trained, verification_set = load_run(run, report)
        with atomic_file(target) as temporary:
            report.start_phase("write")
            write_gguf(trained, temporary, kind)
            report.start_phase("verify")
            found = verify_gguf(trained, verification_set, temporary, kind)
        file_facts = {"path": str(target), "bytes": target.stat().st_size, "sha256": sha256_of(target)}
    return {"format": "gguf", "type": kind, **file_facts, **export_facts(run, trained), **found}


@contextlib.contextmanager
def unused_path(path: Path) -> Iterator[Path]:
    """The absolute path of an export.

    Raises UsageError if the path exists or has no parent folder, and ExportError if it cannot be written.
    """
    target = path.absolute()
    if os.path.lexists(target):
        raise UsageError(f"{path} already exists: give a new name, or remove it first")
    if not target.parent.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {target.parent}")
    try:
        yield target
    except (OSError, WorkspaceError) as error:
        cause = error.__cause__ or error  # a WorkspaceError names a temporary file
        raise ExportError(f"{path} cannot be written: {getattr(cause, 'strerror', None) or cause}") from None


def load_run(run: Run, report: Reporter) -> tuple[TrainedNetwork, VerificationSet]:
    """A run's network, and the texts to verify an export on: held-out files, or training files if there are none."""
    report.start_phase("read")
    torch.set_num_threads(1)  # as in the other programs, see `export.runtimes`
    trained, corpus = TrainedNetwork.load(run.model_path), Corpus.open(run.corpus_path)
    documents = [corpus.text(document) for document in corpus.val or corpus.train]
    return trained, build_verification_set(documents, trained.tokenizer, trained.config.context_length)


def export_facts(run: Run, trained: TrainedNetwork) -> dict[str, Any]:
    """Properties of the exported network, with the scorecard's bits per byte of held-out files.

    `bits_per_byte` has the mixture ("mixed") and the network alone ("model"); None without a scorecard or held-out
    files.
    """
    try:
        bits = read_scorecard(run).get("bits_per_byte", {})
    except ArtifactError:
        bits = {}
    return {
        "run": run.folder.name,
        "parameters": num_parameters(trained.config),
        "context_length": trained.config.context_length,
        "weights_sha256": trained.sha256,
        "bits_per_byte": {expert: bits.get(expert) for expert in ("mixed", "model")},
    }
