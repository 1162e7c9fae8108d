"""Documents on disk: `text.bin` (all texts, concatenated), `documents.jsonl` (one record per line), `report.json`.

The directory has a manifest and is verified when it is opened; texts are memory-mapped, so a large corpus need not fit
into memory. Paths are posix, relative to the repository, with `surrogateescape` for bytes that are not UTF-8, which
JSON keeps as escapes.
"""

import json
import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cllm.artifacts import read_json, verify_directory, write_json
from cllm.corpus.split import Split
from cllm.errors import ArtifactError

KIND = "corpus"
TEXT, DOCUMENTS, REPORT = "text.bin", "documents.jsonl", "report.json"


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text: a file, or a range of its lines."""

    path: str
    language: str
    split: Split  # `dev` is part of the training data
    offset: int  # in text.bin, bytes
    bytes: int
    sha256: str  # of the text
    near_duplicate_of: str | None = None  # for `val`: path of the train document that it resembles most
    lines: tuple[int, int] | None = None  # first and last, counted from 1; None for the whole file


class Corpus:
    """The documents of one repository, as written by `ingest`."""

    def __init__(self, directory: Path, documents: list[Document], report: dict[str, Any]) -> None:
        self.directory = directory
        self.documents = documents
        self.report = report
        with (directory / TEXT).open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the corpus in `directory`; ArtifactError: it is not a corpus, or a file differs from its manifest."""
        if (kind := verify_directory(directory, TEXT, DOCUMENTS, REPORT).get("kind")) != KIND:
            raise ArtifactError(f"{directory} holds a {kind!r}, expected a {KIND!r}")
        with (directory / DOCUMENTS).open(encoding="ascii") as file:
            documents = [_document(line) for line in file]
        return cls(directory, documents, read_json(directory / REPORT))

    def text(self, document: Document) -> bytes:
        """The document's UTF-8 bytes."""
        return self._text[document.offset : document.offset + document.bytes]

    @property
    def train(self) -> list[Document]:
        """The documents to train on: `train` and `dev`."""
        return [document for document in self.documents if document.split != "val"]

    @property
    def val(self) -> list[Document]:
        """The held-out documents."""
        return [document for document in self.documents if document.split == "val"]


def write_records(directory: Path, documents: Iterable[Document], report: dict[str, Any]) -> None:
    """Write `documents.jsonl` and `report.json` into `directory`."""
    with (directory / DOCUMENTS).open("w", encoding="ascii") as file:
        file.writelines(json.dumps(vars(document)) + "\n" for document in documents)
    write_json(directory / REPORT, report)


def _document(line: str) -> Document:
    record = json.loads(line)
    record["lines"] = record["lines"] and tuple(record["lines"])
    return Document(**record)
