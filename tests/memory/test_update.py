"""Updates of a memory to changed files."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from commandline import make_repository
from sample_memory import set_mixer_version

from cllm.artifacts import verify_directory
from cllm.corpus import Corpus
from cllm.corpus.ingest import CorpusConfig, ingest
from cllm.errors import ArtifactError
from cllm.memory.memory import Memory
from cllm.memory.mixer.state import MIXER_VERSION
from cllm.memory.store import load_memory, save_memory
from cllm.memory.update import update_memory
from cllm.tokenizer import Tokenizer


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A repository, its tokenizer, and its saved memory, which was not trained on the held-out files."""
    repository = make_repository(tmp_path / "repository")
    corpus = ingest(repository, tmp_path / "corpus", CorpusConfig())
    tokenizer = Tokenizer.train([corpus.text(document) for document in corpus.train], 400)
    tokenizer.save(tmp_path / "tokenizer.json")
    memory = Memory.new(tokenizer, sum(document.bytes for document in corpus.train))
    for document in corpus.train:
        sum(memory.add_document(document, memory.tokenizer.encode(corpus.text(document))))
    memory.index.add_segment(memory.text, 0, memory.size)
    save_memory(memory, tmp_path / "memory")
    return repository, tmp_path / "tokenizer.json", tmp_path / "memory"


def updated(
    saved: tuple[Path, Path, Path], folder: Path, seconds: float | None = None
) -> tuple[dict[str, Any], Memory]:
    repository, tokenizer, memory = saved
    corpus = ingest(repository, folder / "now", CorpusConfig())
    found = update_memory(load_memory(memory, Tokenizer.load(tokenizer)), memory, corpus, folder / "update", seconds)
    return found, load_memory(memory, Tokenizer.load(tokenizer), folder / "update")


def test_held_out_files_are_in_the_view_all_and_not_in_train(saved: tuple[Path, Path, Path], tmp_path: Path) -> None:
    corpus = Corpus.open(tmp_path / "corpus")
    text = corpus.text(corpus.val[0])
    found, after = updated(saved, tmp_path)
    before = load_memory(saved[2], Tokenizer.load(saved[1]))
    assert found == {"new": sorted(document.path for document in corpus.val), "stale": [], "not_trained_on": 0}
    assert (
        after.index.longest_match(after.text, text).length
        == len(text)
        > before.index.longest_match(before.text, text).length
    )
    assert after.score(text) < 0.7 * before.score(text)
    assert {source.path for source in before.index.sources} == {document.path for document in corpus.train}


def test_without_time_files_are_indexed_but_not_trained_on(saved: tuple[Path, Path, Path], tmp_path: Path) -> None:
    corpus = Corpus.open(tmp_path / "corpus")
    text = corpus.text(corpus.val[0])
    found, after = updated(saved, tmp_path, seconds=0.0)
    before = load_memory(saved[2], Tokenizer.load(saved[1]))
    assert found["not_trained_on"] == len(corpus.val) == len(found["new"])
    assert after.index.longest_match(after.text, text).length == len(text)
    assert (after.state.slots == before.state.slots).all()


def test_an_update_indexes_changed_and_new_files_and_marks_old_ones_stale(
    saved: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    repository = saved[0]
    first, second = sorted(repository.rglob("*.c"))[:2]
    gone = second.read_bytes()
    second.unlink()
    first.write_bytes(first.read_bytes() + b"int quite_another_thing(void) { return 42; }\n")
    (repository / "brand_new.c").write_bytes(b"int brand_new_thing(void) { return 43; }\n")
    found, after = updated(saved, tmp_path)
    paths = [path.relative_to(repository).as_posix() for path in (first, second)]
    assert {paths[0], "brand_new.c"} <= set(found["new"]) and paths[1] not in found["new"]
    assert set(paths) & set(found["stale"])
    for line in (b"int quite_another_thing(void) { return 42; }", b"int brand_new_thing(void) { return 43; }"):
        assert after.index.longest_match(after.text, line).length == len(line)
    assert after.index.longest_match(after.text, gone).length < len(gone)
    for position in after.index.longest_match(after.text, b"return 4").positions:
        source = after.index.source_at(position)
        assert source is not None and source.path != paths[1]


def test_an_update_changes_slots_and_no_mixer_weights(saved: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, after = updated(saved, tmp_path)
    before = load_memory(saved[2], Tokenizer.load(saved[1]))
    assert (after.state.weights == before.state.weights).all()
    assert (after.state.slots != before.state.slots).any()


def test_an_update_of_another_memory_is_refused(saved: tuple[Path, Path, Path], tmp_path: Path) -> None:
    updated(saved, tmp_path)
    tokenizer = Tokenizer.load(saved[1])
    save_memory(load_memory(saved[2], tokenizer), tmp_path / "memory", more="facts")
    with pytest.raises(ArtifactError, match="not of this memory"):
        load_memory(saved[2], tokenizer, tmp_path / "update")


def test_an_update_alone_cannot_be_loaded_as_a_memory(saved: tuple[Path, Path, Path], tmp_path: Path) -> None:
    updated(saved, tmp_path)
    with pytest.raises(ArtifactError, match="expected a memory of view 'train'"):
        load_memory(tmp_path / "update", Tokenizer.load(saved[1]))


def test_an_update_of_another_mixer_version_is_refused(saved: tuple[Path, Path, Path], tmp_path: Path) -> None:
    updated(saved, tmp_path)
    set_mixer_version(tmp_path / "update", MIXER_VERSION + 1)
    with pytest.raises(ArtifactError, match=r"update was trained by another version of the mixer"):
        load_memory(saved[2], Tokenizer.load(saved[1]), tmp_path / "update")


@pytest.mark.parametrize("name", ["slots.bin", "arrays.safetensors", "suffix_array.bin", "sources.json"])
def test_a_damaged_update_is_refused_by_name(saved: tuple[Path, Path, Path], tmp_path: Path, name: str) -> None:
    updated(saved, tmp_path)
    (tmp_path / "update" / name).write_bytes(b"harm")
    with pytest.raises(ArtifactError, match=name):
        load_memory(saved[2], Tokenizer.load(saved[1]), tmp_path / "update")


def test_manifests_have_the_view_and_the_updates_base(saved: tuple[Path, Path, Path], tmp_path: Path) -> None:
    updated(saved, tmp_path)
    assert verify_directory(tmp_path / "memory")["view"] == "train"
    about = verify_directory(tmp_path / "update")
    manifest = (tmp_path / "memory" / "MANIFEST.json").read_bytes()
    assert (about["view"], about["is_trained"]) == ("all", True)
    assert about["base"] == hashlib.sha256(manifest).hexdigest()
