"""Round trip of a stored corpus, and rejection of a damaged one."""

from pathlib import Path

import pytest

from cllm.artifacts import write_directory
from cllm.corpus.store import TEXT, Corpus, Document, write_records
from cllm.errors import ArtifactError

DOCUMENTS = [
    Document(path="caf\udce9\n.c", language="C", split="train", offset=0, bytes=3, sha256="a" * 64),
    Document(path="b.c", language="C", split="dev", offset=6, bytes=2, sha256="b" * 64, lines=(1, 9)),
    Document(path="c.c", language="C", split="val", offset=3, bytes=3, sha256="c" * 64, near_duplicate_of="b.c"),
]


def write(directory: Path, kind: str = "corpus") -> None:
    def fill(temporary: Path) -> None:
        (temporary / TEXT).write_bytes(b"abcdefgh")
        write_records(temporary, DOCUMENTS, {"files_seen": 3})

    write_directory(directory, fill, kind=kind)


def test_corpus_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert corpus.documents == DOCUMENTS
    assert [corpus.text(document) for document in corpus.documents] == [b"abc", b"gh", b"def"]
    assert corpus.train == DOCUMENTS[:2] and corpus.val == DOCUMENTS[2:]
    assert corpus.report == {"files_seen": 3}


@pytest.mark.parametrize("name", ["text.bin", "documents.jsonl", "report.json", "MANIFEST.json"])
def test_damaged_file_raises_an_error_naming_it(tmp_path: Path, name: str) -> None:
    write(tmp_path / "corpus")
    path = tmp_path / "corpus" / name
    content = path.read_bytes()
    for damaged in (content[:-3], b"x" + content[1:]):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=name):
            Corpus.open(tmp_path / "corpus")
    path.unlink()
    with pytest.raises(ArtifactError, match=name):
        Corpus.open(tmp_path / "corpus")


def test_artifact_of_another_kind_is_rejected(tmp_path: Path) -> None:
    write(tmp_path / "corpus", kind="checkpoint")
    with pytest.raises(ArtifactError, match="holds a 'checkpoint', expected a 'corpus'"):
        Corpus.open(tmp_path / "corpus")
