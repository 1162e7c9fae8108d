"""Build documents from the texts on disk: one path for each text, its split, and its near duplicate if it has one."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from cllm.corpus.duplicates import near_duplicates, representative
from cllm.corpus.languages import language_of
from cllm.corpus.split import assign, last_tenth
from cllm.corpus.store import Document


@dataclass
class StoredText:
    """Offset and size in bytes of a text in text.bin, and the paths of the files that contain it."""

    offset: int
    size: int
    paths: list[str]


def build_documents(stored: dict[bytes, StoredText], text: Path) -> tuple[list[Document], dict[str, Any]]:
    """The documents sorted by path, near duplicates marked, and the report's entries on the split.

    `stored` is keyed by the SHA-256 digest of the text.
    """
    by_path = {representative(one.paths): (digest, one) for digest, one in stored.items()}
    splits, fallbacks = assign(sorted(by_path, key=os.fsencode))
    documents = []
    with text.open("rb") as source:
        for path, split in splits.items():
            digest, one = by_path[path]
            language = language_of(path, _read(source, one.offset, min(one.size, 256)))
            documents.append(
                Document(
                    path=path,
                    language=language,
                    split=split,
                    offset=one.offset,
                    bytes=one.size,
                    sha256=digest.hex(),
                )
            )
        if len(documents) == 1:
            documents, note = _split_single_document(documents[0], _read(source, 0, documents[0].bytes))
            fallbacks.append(note)
        nearest = near_duplicates(
            _texts(source, (document for document in documents if document.split == "val")),
            _texts(source, (document for document in documents if document.split != "val")),
        )
    documents = [
        replace(document, near_duplicate_of=nearest[document.path].path)
        if document.split == "val" and document.path in nearest
        else document
        for document in documents
    ]
    near_report = [
        {"path": path, "near_duplicate_of": near_duplicate, "similarity": round(value, 3)}
        for path, (near_duplicate, value) in sorted(nearest.items())
    ]
    return documents, {"near_duplicates": near_report, "split_fallback": "; ".join(fallbacks) or None}


def _split_single_document(document: Document, content: bytes) -> tuple[list[Document], str]:
    """Split a repository's only document so that its last tenth is held out; also returns a note for the report."""
    cut = last_tenth(content)
    if cut is None:
        return [document], "val: empty, since the only file has a single line"
    head, tail = content[: cut.offset], content[cut.offset :]
    train_part = replace(document, bytes=len(head), sha256=hashlib.sha256(head).hexdigest(), lines=(1, cut.line - 1))
    held_out = replace(
        document,
        split="val",
        offset=document.offset + cut.offset,
        bytes=len(tail),
        sha256=hashlib.sha256(tail).hexdigest(),
        lines=(cut.line, cut.last_line),
    )
    return [train_part, held_out], "val: the last tenth of the lines, since there is only one file"


def _texts(source: BinaryIO, documents: Iterable[Document]) -> Iterator[tuple[str, bytes]]:
    for document in documents:
        yield document.path, _read(source, document.offset, document.bytes)


def _read(source: BinaryIO, offset: int, size: int) -> bytes:
    source.seek(offset)
    return source.read(size)
