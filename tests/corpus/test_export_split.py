"""Export of the training and held-out files into a directory."""

from dataclasses import replace
from pathlib import Path

import pytest

from cllm.corpus import Corpus
from cllm.corpus.export import export_split
from cllm.corpus.ingest import CorpusConfig, ingest
from cllm.errors import CorpusError


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    root = tmp_path / "repository"
    for number in range(40):
        path = root / f"part_{number % 3}" / f"file {number}.c"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"int value_{number} = {number};\n")
    (root / "caf\udce9.c").write_text("int coffee;\n")
    return ingest(root, tmp_path / "corpus", CorpusConfig())


def test_export_writes_the_exact_bytes_of_every_document(corpus: Corpus, tmp_path: Path) -> None:
    destination = tmp_path / "new" / "split"
    export_split(corpus, destination)
    written = {path.relative_to(destination) for path in destination.rglob("*") if path.is_file()}
    expected = {Path("train", one.path) for one in corpus.train} | {Path("val", one.path) for one in corpus.val}
    assert written == expected and corpus.val and any(document.split == "dev" for document in corpus.train)
    for document in corpus.documents:
        split = "val" if document.split == "val" else "train"
        assert (destination / split / document.path).read_bytes() == corpus.text(document)


def test_destination_that_is_not_an_empty_directory_is_rejected(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    export_split(corpus, tmp_path / "full")
    (tmp_path / "file").write_text("x")
    for destination in (tmp_path / "full", tmp_path / "file"):
        with pytest.raises(CorpusError, match="is not an empty directory"):
            export_split(corpus, destination)


@pytest.mark.parametrize("path", ["../out.c", "/etc/out.c", "a/../../out.c", "", "a\0b"])
def test_path_outside_of_the_destination_is_rejected(corpus: Corpus, tmp_path: Path, path: str) -> None:
    corpus.documents[0] = replace(corpus.documents[0], path=path)
    with pytest.raises(CorpusError, match="leads out of"):
        export_split(corpus, tmp_path / "split")
    assert not (tmp_path / "split").exists()
