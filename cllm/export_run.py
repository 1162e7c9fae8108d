"""`cllm export`: the network of the run in use in another program's format, under the user's name once it is proven.

Left out: the memory, which those programs have no place for. What they lose by that is in the run's scorecard.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from cllm.artifacts import sha256_of, whole_file, write_directory
from cllm.corpus import Corpus
from cllm.errors import ArtifactError, ExportError, UsageError
from cllm.export import Learned, gather, verify_gguf, verify_huggingface, write_gguf, write_huggingface
from cllm.export.material import Material
from cllm.model.config import num_parameters
from cllm.progress import Reporter
from cllm.run import Run, current_run, existing_directory, read_scorecard
from cllm.workspace import Workspace


def export_huggingface(root: Path, folder: Path, report: Reporter) -> dict[str, Any]:
    """Write a new folder that transformers reads; what was found of it.

    ExportError, and nothing is left: it cannot be written, or does not prove to be the same model.
    """
    run, found = current_run(Workspace(existing_directory(root))), dict[str, Any]()
    with new_name(folder) as target:
        learned, material = read_run(run, report)

        def fill(temporary: Path) -> None:
            report.phase("write")
            write_huggingface(learned, temporary)
            report.phase("verify")
            found.update(verify_huggingface(learned, material, temporary))

        write_directory(target, fill, kind="huggingface", weights_sha256=learned.sha256)
        size = sum(file.stat().st_size for file in target.iterdir())
    return {"format": "huggingface", "path": str(target), "bytes": size, **about(run, learned), **found}


def export_gguf(root: Path, file: Path, kind: str, report: Reporter) -> dict[str, Any]:
    """Write a new file that llama.cpp reads, its matrices as `kind`; what was found of it. ExportError: as above."""
    run = current_run(Workspace(existing_directory(root)))
    with new_name(file) as target:
        learned, material = read_run(run, report)
        with whole_file(target) as temporary:
            report.phase("write")
            write_gguf(learned, temporary, kind)
            report.phase("verify")
            found = verify_gguf(learned, material, temporary, kind)
        written = {"path": str(target), "bytes": target.stat().st_size, "sha256": sha256_of(target)}
    return {"format": "gguf", "type": kind, **written, **about(run, learned), **found}


@contextlib.contextmanager
def new_name(path: Path) -> Iterator[Path]:
    """The absolute path of what is to be written, which must not be there. ExportError: it cannot be written."""
    target = path.absolute()
    if os.path.lexists(target):
        raise UsageError(f"{path} is there already: name a new one, or remove it first")
    if not target.parent.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {target.parent}")
    try:
        yield target
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}") from None


def read_run(run: Run, report: Reporter) -> tuple[Learned, Material]:
    """A run's model, and what an export of it is compared on: held-out files, where there are none learned ones."""
    report.phase("read")
    torch.set_num_threads(1)  # as the other programs have, see `export.peers`
    learned, corpus = Learned.load(run.model), Corpus.open(run.corpus)
    documents = [corpus.text(document) for document in corpus.val or corpus.train]
    return learned, gather(documents, learned.tokenizer, learned.config.context_length)


def about(run: Run, learned: Learned) -> dict[str, Any]:
    """What is exported, and what is not: bits per byte of held-out files by the mixture and by the network alone.

    They are the scorecard's; None where there is none, or nothing was held out.
    """
    try:
        bits = read_scorecard(run).get("bits_per_byte", {})
    except ArtifactError:
        bits = {}
    return {
        "run": run.folder.name,
        "parameters": num_parameters(learned.config),
        "context_length": learned.config.context_length,
        "weights_sha256": learned.sha256,
        "bits_per_byte": {expert: bits.get(expert) for expert in ("mixed", "model")},
    }
