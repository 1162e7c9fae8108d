"""Ingest a source tree into a corpus: walk, read, filter, redact, deduplicate, split, write.

One pass over the files appends each new text to `text.bin`; only paths, hashes and offsets stay in memory. A second
pass over that file finds near duplicates between held-out and train documents. The report counts what was skipped and
changed, and why:

    files_seen = files_kept + exact_duplicates + all of `skipped`
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cllm.artifacts import MANIFEST, read_object, write_directory
from cllm.config import check_bounds
from cllm.corpus.documents import StoredText, build_documents
from cllm.corpus.duplicates import representative
from cllm.corpus.filters import directory_skip_reason, filter_text, name_skip_reason
from cllm.corpus.git_view import GitView, view_of_named_folder
from cllm.corpus.languages import language_of
from cllm.corpus.redactions import Keep, Redaction, redact_file
from cllm.corpus.split import is_held_out
from cllm.corpus.store import KIND, TEXT, Corpus, Document, write_records
from cllm.corpus.text import MAX_FILE_BYTES, Skipped, read_text
from cllm.corpus.walk import OWN_OUTPUT, walk
from cllm.errors import ArtifactError, CorpusError, UsageError
from cllm.git.work_tree import why_no_work_tree


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Limits of ingestion. Of the Linux kernel, 85,000 files and 1.3 GB, the first 500 MB are kept."""

    max_file_bytes: int = MAX_FILE_BYTES
    max_files: int = 200_000  # seen, not kept
    max_total_bytes: int = 500_000_000  # of text kept
    max_depth: int = 64  # directories below the root
    redact: bool = True
    keep: tuple[str, ...] = ()  # secrets that are not replaced: PATH, PATH:LINE or PATH:KIND

    def __post_init__(self) -> None:
        check_bounds(
            self,
            max_file_bytes=(1, 1 << 40),
            max_files=(1, 1 << 40),
            max_total_bytes=(1, 1 << 40),
            max_depth=(1, 10_000),
        )
        object.__setattr__(self, "keep", tuple(self.keep))  # a list in TOML and in the manifest
        Keep(self.keep)


def corpus_config(directory: Path) -> CorpusConfig:
    """The configuration that the corpus in `directory` was ingested with; ArtifactError if its manifest has none."""
    try:
        return CorpusConfig(**read_object(directory / MANIFEST)["config"])
    except (KeyError, TypeError, UsageError) as error:
        raise ArtifactError(f"{directory / MANIFEST} has no valid configuration: {error}") from None


@dataclass
class _Tally:
    """Counters for the report."""

    keep: Keep
    files_seen: int = 0
    bytes_kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    skipped_directories: Counter[str] = field(default_factory=Counter)
    redactions: list[Redaction] = field(default_factory=list)
    encodings: Counter[str] = field(default_factory=Counter)
    long_lines: Counter[str] = field(default_factory=lambda: Counter(files=0, lines=0, bytes=0))
    truncated: list[str] = field(default_factory=list)


def ingest(
    root: Path, directory: Path, config: CorpusConfig, progress: Callable[[int, int], None] | None = None
) -> Corpus:
    """Ingest the source tree `root` into the corpus `directory` (replaced if it exists), and open it.

    `progress` is called after each file with the number of files seen and bytes kept so far. CorpusError: `root` is
    missing, not a directory, not readable, has no work tree, or holds no text to train on.
    """
    _check_readable(root)
    view = view_of_named_folder(root)
    on_file = progress or (lambda files, size: None)
    own_outputs = {
        os.path.realpath(directory),
        os.path.realpath(directory.with_name(f".tmp-{os.getpid()}-{directory.name}")),
    }

    def fill(temporary: Path) -> None:
        tally = _Tally(Keep(config.keep))
        with (temporary / TEXT).open("wb") as sink:
            stored = _collect_texts(root, view, own_outputs, config, sink, tally, on_file)
        if not stored:
            raise CorpusError(_nothing_to_learn(root, view, tally))
        documents, split_report = build_documents(stored, temporary / TEXT)
        report = _report(tally, stored, documents, split_report)
        write_records(temporary, documents, {**report, "notes": list(view.notes)})

    write_directory(directory, fill, kind=KIND, config=asdict(config))
    return Corpus.open(directory)


def _check_readable(root: Path) -> None:
    try:
        with os.scandir(root):
            pass
    except FileNotFoundError:
        raise CorpusError(f"{root} does not exist: name the directory of a repository") from None
    except NotADirectoryError:
        raise CorpusError(f"{root} is not a directory: name the directory of a repository") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{root} cannot be read: {error}") from None
    if reason := why_no_work_tree(root):
        raise CorpusError(f"{root} {reason}")


def _collect_texts(
    root: Path,
    view: GitView,
    own_outputs: set[str],
    config: CorpusConfig,
    sink: BinaryIO,
    tally: _Tally,
    progress: Callable[[int, int], None],
) -> dict[bytes, StoredText]:
    """Append each new text to `sink`; returns the texts keyed by SHA-256 digest."""
    top = os.path.realpath(root)
    stored: dict[bytes, StoredText] = {}

    def prune(path: str) -> str | None:
        return OWN_OUTPUT if f"{top}/{path}" in own_outputs else directory_skip_reason(path)

    for entry in walk(root, max_depth=config.max_depth, max_entries=config.max_files + 1, prune=prune, view=view):
        if entry.is_directory:
            tally.skipped_directories[entry.skipped or ""] += 1
            continue
        if tally.files_seen == config.max_files:
            tally.truncated.append(f"max_files ({config.max_files:,})")
            break
        tally.files_seen += 1
        try:
            if reason := entry.skipped or name_skip_reason(entry.path):
                raise Skipped(reason)
            _ingest_file(entry.path, top, config, sink, tally, stored)
        except Skipped as skipped:
            tally.skipped[skipped.reason] += 1
        progress(tally.files_seen, tally.bytes_kept)
        if tally.truncated:
            break
    return stored


def _ingest_file(
    path: str, top: str, config: CorpusConfig, sink: BinaryIO, tally: _Tally, stored: dict[bytes, StoredText]
) -> None:
    """Read one file and keep its text, or raise Skipped."""
    content, form = read_text(f"{top}/{path}", config.max_file_bytes)
    filtered = filter_text(content, language_of(path, content))
    if filtered.reason:
        raise Skipped(filtered.reason)
    content = filtered.text.content
    redactions: list[Redaction] = []
    if config.redact:
        content, redactions = redact_file(path, content, tally.keep)
    digest = hashlib.sha256(content).digest()
    if known := stored.get(digest):
        known.paths.append(path)
        tally.redactions += redactions
        return
    if tally.bytes_kept + len(content) > config.max_total_bytes:
        tally.truncated.append(f"max_total_bytes ({config.max_total_bytes:,})")
        raise Skipped("beyond max_total_bytes")
    stored[digest] = StoredText(tally.bytes_kept, len(content), [path])
    sink.write(content)
    tally.bytes_kept += len(content)
    tally.redactions += redactions
    if filtered.text.num_lines:
        tally.long_lines.update(files=1, lines=filtered.text.num_lines, bytes=filtered.text.num_bytes)
    tally.encodings[form.name] += 1


def _nothing_to_learn(root: Path, view: GitView, tally: _Tally) -> str:
    reasons = [f"{count} {reason}" for reason, count in tally.skipped.most_common()]
    directories = [(count, reason) for reason, count in tally.skipped_directories.most_common() if reason != OWN_OUTPUT]
    reasons += [f"{count} {'directory' if count == 1 else 'directories'} {reason}" for count, reason in directories]
    files = f"{tally.files_seen} file{'' if tally.files_seen == 1 else 's'} seen"
    text = f"{root} holds no text to train on: {files}" + (f", skipped: {', '.join(reasons)}" if reasons else "")
    if view.is_ignored:
        return f"{text}; git's ignore rules exclude this folder, so only tracked files of it would be used"
    if tally.skipped["ignored"] or tally.skipped_directories["ignored"]:
        return f"{text}; ignored are those that git's ignore rules exclude (`git check-ignore -v FILE` names the rule)"
    return text


def _report(
    tally: _Tally, stored: dict[bytes, StoredText], documents: list[Document], split_report: dict[str, Any]
) -> dict[str, Any]:
    copies = [one.paths for one in stored.values() if len(one.paths) > 1]
    train_copies = [paths for paths in copies if not is_held_out(representative(paths))]
    languages: dict[str, Counter[str]] = {}
    splits = {split: Counter(documents=0, bytes=0) for split in ("train", "dev", "val")}
    for document in documents:
        is_first_part = document.lines is None or document.lines[0] == 1
        languages.setdefault(document.language, Counter()).update(files=int(is_first_part), bytes=document.bytes)
        splits[document.split].update(documents=1, bytes=document.bytes)
    return {
        "files_seen": tally.files_seen,
        "files_kept": len(stored),
        "bytes_kept": tally.bytes_kept,
        "skipped": dict(tally.skipped.most_common()),
        "skipped_directories": dict(tally.skipped_directories.most_common()),
        "redactions": dict(Counter(redaction.kind for redaction in tally.redactions).most_common()),
        "redacted": [redaction._asdict() for redaction in sorted(tally.redactions)],
        "keep_unused": tally.keep.unused(),
        "long_lines": dict(tally.long_lines),
        "encodings": dict(tally.encodings.most_common()),
        "exact_duplicates": sum(len(paths) - 1 for paths in copies),
        "exact_duplicates_moved_to_train": sum(is_held_out(path) for paths in train_copies for path in paths),
        **split_report,
        "languages": {name: dict(counts) for name, counts in sorted(languages.items())},
        "splits": {split: dict(counts) for split, counts in splits.items()},
        "truncated": tally.truncated,
    }
