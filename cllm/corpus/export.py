"""Export documents as files, to check a score with another program: what was learned, UTF-8 with LF.

`dev` is part of the training data and goes to `train/`.
"""

from pathlib import Path, PurePosixPath

from cllm.corpus.store import Corpus
from cllm.errors import CorpusError


def export_split(corpus: Corpus, destination: Path) -> None:
    """Write each document to `destination/train/PATH` or `destination/val/PATH`.

    CorpusError: the destination is not an empty directory, or a document's path would lie outside it.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise CorpusError(f"{destination} is not an empty directory: name one that is empty, or a new one")
    for document in corpus.documents:
        if not _is_safe(document.path):
            raise CorpusError(f"the corpus names the path {document.path!r}, which leads out of {destination}")
    for split, documents in (("train", corpus.train), ("val", corpus.val)):
        (destination / split).mkdir(parents=True, exist_ok=True)
        for document in documents:
            target = destination / split / document.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write(corpus.text(document))


def _is_safe(path: str) -> bool:
    """Whether a path is relative and has no `..`."""
    return bool(path) and "\0" not in path and not path.startswith("/") and ".." not in PurePosixPath(path).parts
