"""Ingestion of whole repositories, including hostile ones."""

import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cllm.corpus import Corpus
from cllm.corpus import text as text_module
from cllm.corpus.ingest import CorpusConfig, corpus_config, ingest
from cllm.corpus.split import is_held_out
from cllm.errors import CorpusError

HELD_OUT = [path for path in (f"src/file_{number}.c" for number in range(300)) if is_held_out(path)]
TRAIN_PATHS = [path for path in (f"src/file_{number}.c" for number in range(300)) if not is_held_out(path)]


def source(seed: int, lines: int = 30) -> bytes:
    rng = random.Random(seed)
    return b"".join(b"int f%d(void) { return %d; }\n" % (rng.randrange(10**9), seed) for _ in range(lines))


def write_files(root: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository"


@pytest.fixture
def ingest_files(root: Path, tmp_path: Path) -> Callable[..., Corpus]:
    """Write files into the repository and ingest it; check that the counters of the report add up."""

    def run(files: dict[str, bytes], **config: int | bool | tuple[str, ...]) -> Corpus:
        write_files(root, files)
        corpus = ingest(root, tmp_path / "corpus", CorpusConfig(**config))  # type: ignore[arg-type]
        report = corpus.report
        assert report["files_seen"] == report["files_kept"] + report["exact_duplicates"] + sum(
            report["skipped"].values()
        )
        assert sum(report["encodings"].values()) == report["files_kept"]
        assert sum(one.bytes for one in corpus.documents) == report["bytes_kept"]
        return corpus

    return run


def by_path(corpus: Corpus) -> dict[str, bytes]:
    return {document.path: corpus.text(document) for document in corpus.documents}


def test_documents_report_and_split_of_an_ordinary_repository(ingest_files: Callable[..., Corpus], root: Path) -> None:
    files = {f"src/{number}.c": source(number) for number in range(60)} | {"README.md": b"# Title\n\ntext\n"}
    corpus = ingest_files(files | {"a.png": b"\x89PNG\r\n\0", "empty.c": b"\n", ".gitignore": b"*.o\n", "x.o": b"text"})
    assert by_path(corpus) == files | {".gitignore": b"*.o\n"}
    assert corpus.report["skipped"] == {"binary": 1, "empty": 1, "ignored": 1}
    assert corpus.report["languages"]["C"]["files"] == 60
    assert corpus.report["split_fallback"] is None and corpus.report["truncated"] == []
    for document in corpus.documents:
        assert is_held_out(document.path) is (document.split == "val")
    assert [one.path for one in corpus.documents] == sorted(one.path for one in corpus.documents)


def test_same_tree_gives_a_byte_identical_corpus(root: Path, tmp_path: Path) -> None:
    write_files(root, {f"src/{number}.c": source(number % 50) for number in range(80)})
    for name in ("one", "two"):
        ingest(root, tmp_path / name, CorpusConfig())
    for file in ("text.bin", "documents.jsonl", "report.json", "MANIFEST.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_duplicates_put_no_held_out_line_into_train(ingest_files: Callable[..., Corpus]) -> None:
    files = {path: source(number) for number, path in enumerate(HELD_OUT + TRAIN_PATHS)}
    files |= {f"copy/of_{number}.c": source(number) for number in range(len(HELD_OUT))}  # a copy of every held-out text
    files |= {f"more/of_{number}.c": source(number) for number in range(0, 300, 7)}
    corpus = ingest_files(files)
    train_lines = {line for document in corpus.train for line in corpus.text(document).splitlines()}
    held_out = [line for document in corpus.val for line in corpus.text(document).splitlines()]
    assert held_out and not train_lines & set(held_out)
    texts = [corpus.text(document) for document in corpus.documents]
    assert len(set(texts)) == len(texts) == len(set(files.values()))
    assert corpus.report["exact_duplicates"] == len(files) - len(texts)
    assert corpus.report["exact_duplicates_moved_to_train"] > 0


def test_text_in_both_splits_is_kept_in_train_only(ingest_files: Callable[..., Corpus]) -> None:
    files = {path: source(number) for number, path in enumerate(HELD_OUT[:5] + TRAIN_PATHS[:20])}
    corpus = ingest_files(files | {TRAIN_PATHS[20]: files[HELD_OUT[0]]})
    assert HELD_OUT[0] not in by_path(corpus) and TRAIN_PATHS[20] in by_path(corpus)
    assert corpus.report["exact_duplicates"] == corpus.report["exact_duplicates_moved_to_train"] == 1


def test_near_duplicate_is_flagged_and_stays_held_out(ingest_files: Callable[..., Corpus]) -> None:
    files = {path: source(number) for number, path in enumerate(HELD_OUT[:5] + TRAIN_PATHS[:20])}
    corpus = ingest_files(files | {HELD_OUT[0]: files[TRAIN_PATHS[3]] + b"int one_more_line;\n"})
    flagged = {one.path: one.near_duplicate_of for one in corpus.documents if one.near_duplicate_of}
    assert flagged == {HELD_OUT[0]: TRAIN_PATHS[3]}
    assert [one["path"] for one in corpus.report["near_duplicates"]] == [HELD_OUT[0]]


def test_repository_of_identical_files_is_split_by_lines(ingest_files: Callable[..., Corpus]) -> None:
    corpus = ingest_files(dict.fromkeys(HELD_OUT[:3] + TRAIN_PATHS[:30], source(1)))
    assert [one.lines for one in corpus.documents] == [(1, 27), (28, 30)]
    assert corpus.report["exact_duplicates"] == 32


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_a_repository_is_the_same_corpus_with_any_line_ends(
    ingest_files: Callable[..., Corpus], newline: bytes
) -> None:
    files = {f"src/{number}.c": source(number) for number in range(20)}
    plain = ingest_files(files)
    documents = [(document.path, document.split, document.sha256) for document in plain.documents]
    found = ingest_files({path: content.replace(b"\n", newline) for path, content in files.items()})
    assert [(document.path, document.split, document.sha256) for document in found.documents] == documents


def test_encodings_and_line_ends_are_converted(ingest_files: Callable[..., Corpus]) -> None:
    corpus = ingest_files(
        {
            "utf16.c": "﻿int é;\r\n".encode("utf-16-le"),
            "utf8.c": b"\xef\xbb\xbfint x;\r\n",
            "latin.c": "// Jürgen Müller aus München\n".encode("latin-1"),
            "bidi.c": "int \u202ea\u200b;\r".encode(),
            "corrupt.c": b"int \xc3\x28 \x81\x8d\x9d\x02\n",
            "surrogate.c": "\ufeff\ud800".encode("utf-16-le", "surrogatepass"),
            "nul.c": b"int x\0;\n",
            "elf.c": b"\x7fELF\x02\x01\x01\0",
        }
    )
    assert by_path(corpus) == {
        "utf16.c": "int é;\n".encode(),
        "utf8.c": b"int x;\n",
        "latin.c": "// Jürgen Müller aus München\n".encode(),
        "bidi.c": "int \u202ea\u200b;\n".encode(),
    }
    assert corpus.report["skipped"]["binary"] >= 2 and sum(corpus.report["skipped"].values()) == 4
    assert corpus.report["encodings"]["cp1252"] == 1


def test_special_tokens_in_a_file_are_kept_as_text(ingest_files: Callable[..., Corpus]) -> None:
    content = b"before <|endoftext|> after <|fim_prefix|>\n"
    assert by_path(ingest_files({"a.txt": content, "b.txt": b"other\n"}))["a.txt"] == content


def test_minified_generated_vendored_and_huge_files_are_skipped(
    ingest_files: Callable[..., Corpus], root: Path
) -> None:
    write_files(root, {"node_modules/x/index.js": source(1), "a.c": source(2), "b.c": source(3)})
    with (root / "sparse.c").open("wb") as file:
        file.truncate(10 << 30)
    corpus = ingest_files(
        {
            "app.js": b"var a=1;function b(){return a};" * 30_000,
            "table.c": b"\n".join(b"%d, %d," % (number * 7919, number) for number in range(10_000)),
            "pb.py": b"# Generated by the protocol buffer compiler.  DO NOT EDIT!\nx = 1\n",
        }
    )
    assert set(by_path(corpus)) == {"a.c", "b.c"}
    assert corpus.report["skipped"] == {"minified": 1, "too large": 1, "generated": 1, "data": 1}
    assert corpus.report["skipped_directories"] == {"vendored or installed": 1}


def test_long_line_costs_that_line_and_is_counted(ingest_files: Callable[..., Corpus]) -> None:
    text = source(1) + b'char picture[] = "' + b"x" * 60_000 + b'";\n' + source(2)
    corpus = ingest_files({"a.c": text, "b.c": source(3)})
    assert by_path(corpus)["a.c"] == source(1) + b"\n" + source(2)
    assert corpus.report["long_lines"] == {"files": 1, "lines": 1, "bytes": 60_020}
    assert corpus.report["skipped"] == {}


def test_unusual_file_names_survive_a_round_trip(ingest_files: Callable[..., Corpus], tmp_path: Path) -> None:
    names = ["caf\udce9.c", "two\nlines.c", "n" * 255, " ", "🙂.c"]
    ingest_files({name: source(number) for number, name in enumerate(names)})
    assert sorted(by_path(Corpus.open(tmp_path / "corpus"))) == sorted(names)


def test_symbolic_links_and_special_files_are_skipped(
    ingest_files: Callable[..., Corpus], root: Path, tmp_path: Path
) -> None:
    write_files(tmp_path, {"outside/secret.c": b"outside\n"})
    write_files(root, {"a.c": source(1), "b.c": source(2)})
    (root / "loop").symlink_to(root)
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "passwd.c").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe.c")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket.c"))
        corpus = ingest_files({})
    assert set(by_path(corpus)) == {"a.c", "b.c"}
    assert corpus.report["skipped"] == {"symbolic link": 3, "not a regular file": 2}


def test_root_may_be_a_symbolic_link(root: Path, tmp_path: Path) -> None:
    write_files(root, {"a.c": source(1), "b.c": source(2)})
    (tmp_path / "link").symlink_to(root)
    assert set(by_path(ingest(tmp_path / "link", tmp_path / "corpus", CorpusConfig()))) == {"a.c", "b.c"}


def test_no_code_of_the_repository_is_executed(
    ingest_files: Callable[..., Corpus], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "executed"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {marker}\n")
    script.chmod(0o755)
    config = f'[core]\n\tfsmonitor = {script}\n\thooksPath = {tmp_path}\n[filter "x"]\n\tclean = {script}\n'
    hostile = {
        ".git/config": config.encode(),
        ".git/HEAD": b"ref: refs/heads/main\n",
        ".git/hooks/post-index-change": script.read_bytes(),
        ".gitattributes": b"* filter=x\n",
        ".gitmodules": b'[submodule "m"]\n\tpath = m\n\turl = -u./payload\n',
        "m/.git": b"gitdir: ../.git/modules/m\n",
        "m/inner.c": source(3),
        "a.c": source(1),
        "b.c": source(2),
    }
    monkeypatch.setenv("PATH", "")  # git is not needed
    corpus = ingest_files(hostile)
    assert set(by_path(corpus)) == {"a.c", "b.c", ".gitattributes", ".gitmodules"}
    assert not marker.exists()


def test_file_that_changes_or_vanishes_during_the_scan_is_skipped(
    ingest_files: Callable[..., Corpus], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(root, {"a.c": source(1), "gone.c": source(2), "restless.c": source(3), "b.c": source(4)})
    original = text_module._read_once

    def reading(path: str, max_bytes: int) -> bytes:
        if path.endswith("gone.c"):
            Path(path).unlink(missing_ok=True)
        if path.endswith("restless.c"):
            raise text_module.Skipped("changed while it was read")
        return original(path, max_bytes)

    monkeypatch.setattr(text_module, "_read_once", reading)
    corpus = ingest_files({})
    assert set(by_path(corpus)) == {"a.c", "b.c"}
    assert corpus.report["skipped"] == {"vanished": 1, "changed while it was read": 1}


def test_secrets_are_redacted_with_the_length_kept(ingest_files: Callable[..., Corpus]) -> None:
    rng = random.Random(5)
    secrets = ["gh" + "p_" + "".join(rng.choices("abcdefghjkmnpqrstuvwxyzABCDEF23456789", k=36)) for _ in range(20)]
    files = {
        f"config_{number}.py": f'TOKEN = "{secret}"\nx = {number}\n'.encode() for number, secret in enumerate(secrets)
    }
    corpus = ingest_files(files)
    assert corpus.report["redactions"] == {"GitHub token": 20}
    assert not any(secret.encode() in text for secret in secrets for text in by_path(corpus).values())
    assert {len(text) for text in by_path(corpus).values()} == {len(content) for content in files.values()}
    assert by_path(ingest_files(files, redact=False)) == files


def test_redactions_are_reported_by_place_and_taken_back_by_keep(ingest_files: Callable[..., Corpus]) -> None:
    token = "gh" + "p_" + "".join(random.Random(6).choices("abcdefghjkmnpqrstuvwxyzABCDEF23456789", k=36))
    files = {"a.py": f'x = 1\nTOKEN = "{token}"\n'.encode(), "copy.py": f'x = 1\nTOKEN = "{token}"\n'.encode()}
    files |= {"b.c": source(1), "c.c": source(2)}
    corpus = ingest_files(files)
    places = [{"path": path, "line": 2, "kind": "GitHub token"} for path in ("a.py", "copy.py")]
    assert corpus.report["redacted"] == places and token not in json.dumps(corpus.report)
    corpus = ingest_files(files, keep=("a.py:GitHub token", "none.py"))
    assert corpus.report["redacted"] == places[1:] and corpus.report["keep_unused"] == ["none.py"]
    assert by_path(corpus)["a.py"] == files["a.py"]
    again = corpus_config(corpus.directory)
    assert again == CorpusConfig(keep=("a.py:GitHub token", "none.py"))


def test_limits_stop_the_scan_and_are_reported(ingest_files: Callable[..., Corpus]) -> None:
    files = {f"{number:02}.c": source(number) for number in range(30)}
    corpus = ingest_files(files, max_files=10)
    assert len(corpus.documents) == 10 and corpus.report["truncated"] == ["max_files (10)"]
    corpus = ingest_files({}, max_total_bytes=len(files["00.c"]) * 5)
    assert 3 < len(corpus.documents) < 6 and len(corpus.report["truncated"]) == 1
    corpus = ingest_files({"deep/er/x.c": source(99)}, max_depth=1)
    assert "deep/er/x.c" not in by_path(corpus) and corpus.report["skipped_directories"] == {"too deep": 1}
    corpus = ingest_files({}, max_files=31)
    assert corpus.report["files_seen"] == 31 and corpus.report["truncated"] == []


def test_progress_reports_files_and_bytes(root: Path, tmp_path: Path) -> None:
    write_files(root, {f"{number}.c": source(number) for number in range(5)})
    calls: list[tuple[int, int]] = []
    corpus = ingest(root, tmp_path / "corpus", CorpusConfig(), lambda files, size: calls.append((files, size)))
    assert [files for files, _ in calls] == [1, 2, 3, 4, 5]
    assert calls[-1][1] == corpus.report["bytes_kept"]


def test_output_inside_the_repository_is_not_ingested(root: Path) -> None:
    write_files(root, {"a.c": source(1), "b.c": source(2)})
    for _ in range(2):
        assert set(by_path(ingest(root, root / "out" / "corpus", CorpusConfig()))) == {"a.c", "b.c"}
        assert set(by_path(ingest(root, root / ".cllm" / "corpus", CorpusConfig()))) >= {"a.c", "b.c"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "0 files seen"),
        ({"a.png": b"\x89PNG\0", "b.o": b"\0"}, "2 files seen, skipped: 2 binary"),
        ({"empty.c": b""}, "1 file seen, skipped: 1 empty"),
        ({"node_modules/a.js": b"x"}, "1 directory vendored or installed"),
    ],
)
def test_repository_without_text_raises_corpus_error(
    ingest_files: Callable[..., Corpus], tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        ingest_files(files)
    assert not (tmp_path / "corpus").exists() and not list(tmp_path.glob(".tmp-*"))


def test_root_that_is_not_a_readable_directory_raises_corpus_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(root, {"a.c": b"x"})
    for path, message in ((root / "none", "does not exist"), (root / "a.c", "is not a directory")):
        with pytest.raises(CorpusError, match=message):
            ingest(path, tmp_path / "corpus", CorpusConfig())

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CorpusError, match="cannot be read"):
        ingest(root, tmp_path / "corpus", CorpusConfig())


def test_repository_that_its_rules_empty_says_so(root: Path, tmp_path: Path) -> None:
    write_files(root, {".gitignore": b"*\n", "a/b.c": source(1)})
    for name in ("objects", "refs"):
        (root / ".git" / name).mkdir(parents=True)
    write_files(root, {".git/HEAD": b"ref: refs/heads/main\n"})
    with pytest.raises(CorpusError, match="ignored are those that git's ignore rules exclude"):
        ingest(root, tmp_path / "corpus", CorpusConfig())


def test_folder_that_git_ignores_is_read_if_it_is_named(root: Path, tmp_path: Path) -> None:
    write_files(root, {".gitignore": b"build/\n*.c\n", "build/a/b.c": source(1), "build/a/c.c": source(2)})
    write_files(root, {"build/a/.gitignore": b"c.c\n", ".git/HEAD": b"ref: refs/heads/main\n"})
    for name in ("objects", "refs"):
        (root / ".git" / name).mkdir(parents=True)
    corpus = ingest(root / "build" / "a", tmp_path / "corpus", CorpusConfig())
    assert set(by_path(corpus)) == {".gitignore", "b.c"}
    assert corpus.report["notes"] == [
        f"{root / 'build' / 'a'} is ignored by git: as it was named, the ignore rules above it do not count"
    ]


def test_bare_repository_raises_corpus_error(root: Path, tmp_path: Path) -> None:
    write_files(root, {"HEAD": b"ref: refs/heads/main\n", "objects/x": b"x", "refs/x": b"x"})
    for folder in (root, root / "refs"):
        with pytest.raises(CorpusError, match="a bare repository, without a work tree: clone it"):
            ingest(folder, tmp_path / "corpus", CorpusConfig())


def test_damaged_index_is_a_note_of_the_report(ingest_files: Callable[..., Corpus], root: Path) -> None:
    for name in ("objects", "refs"):
        (root / ".git" / name).mkdir(parents=True)
    corpus = ingest_files({".git/HEAD": b"ref: refs/heads/main\n", ".git/index": b"DIRC", "a.c": source(1)})
    assert ["it is truncated" in note for note in corpus.report["notes"]] == [True]


def test_single_file_is_split_by_lines(ingest_files: Callable[..., Corpus]) -> None:
    content = b"".join(b"line %d\n" % number for number in range(100))
    corpus = ingest_files({"only.c": content})
    train, held_out = corpus.documents
    assert (train.path, train.split, train.lines) == ("only.c", "train", (1, 90))
    assert (held_out.path, held_out.split, held_out.lines) == ("only.c", "val", (91, 100))
    assert corpus.text(train) + corpus.text(held_out) == content
    assert "one file" in corpus.report["split_fallback"]
    assert corpus.report["languages"] == {"C": {"files": 1, "bytes": len(content)}}


def test_single_line_is_trained_on_and_nothing_held_out(ingest_files: Callable[..., Corpus]) -> None:
    corpus = ingest_files({"a": b"x"})
    assert [corpus.text(one) for one in corpus.train] == [b"x"] and corpus.val == []
    assert "single line" in corpus.report["split_fallback"]


def test_document_records_are_json(ingest_files: Callable[..., Corpus], tmp_path: Path) -> None:
    ingest_files({"a.c": source(1), "b.c": source(2)})
    first = json.loads((tmp_path / "corpus" / "documents.jsonl").read_text().splitlines()[0])
    assert list(first) == ["path", "language", "split", "offset", "bytes", "sha256", "near_duplicate_of", "lines"]
