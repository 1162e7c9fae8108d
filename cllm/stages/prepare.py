"""The first stages of a run: corpus, tokenizer and dataset (the documents as token ids)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cllm.artifacts import sha256_of, verify_directory, write_directory
from cllm.corpus import Corpus
from cllm.corpus.ingest import ingest
from cllm.dataset import Shard, path_header, write_shard
from cllm.errors import ArtifactError
from cllm.stages.job import Job
from cllm.tokenizer import Tokenizer
from cllm.training.choose import vocab_size_for
from cllm.workspace.run import Run

TOKENIZER_SAMPLE_BYTES = 32_000_000  # of text, on which the tokenizer's merges are trained
MIN_TRAIN_BYTES = 20_000  # a warning is shown for less
PATH_LINE_INTERVAL = 2  # one document in 2 starts with a line that has its path


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A run's documents, its tokenizer, and the training documents as token ids: opened once, and passed on."""

    corpus: Corpus
    tokenizer: Tokenizer
    shard: Shard


def open_dataset(run: Run) -> Dataset:
    """Open what `prepare` wrote; ArtifactError if a file was altered, or the ids are of another tokenizer."""
    if verify_directory(run.dataset_path).get("tokenizer_sha256") != sha256_of(run.tokenizer_path):
        raise ArtifactError(f"{run.tokenizer_path} is not the tokenizer that {run.dataset_path} was written with")
    return Dataset(
        corpus=Corpus.open(run.corpus_path),
        tokenizer=Tokenizer.load(run.tokenizer_path),
        shard=Shard.open(run.dataset_path, "train"),
    )


def prepare(job: Job, run: Run) -> Dataset:
    """Write a new run's corpus, tokenizer and dataset."""
    report = job.report
    job.start_phase("scan")
    corpus = ingest(job.root, run.corpus_path, job.corpus_config, scan_progress(job))
    train_bytes = sum(document.bytes for document in corpus.train)
    val_bytes = sum(document.bytes for document in corpus.val)
    report.log(
        f"{len(corpus.train)} files, {train_bytes / 1e6:.2f} MB to train on; {len(corpus.val)} files, "
        f"{val_bytes / 1e6:.2f} MB held out"
    )
    for sentence in corpus_warnings(corpus):
        report.log(sentence)
    job.start_phase("tokenizer")
    vocab_size = job.tokenizer_config.vocab_size or vocab_size_for(train_bytes)
    tokenizer = Tokenizer.train(sampled_texts(corpus, job.options.seed), vocab_size)
    tokenizer.save(run.tokenizer_path)
    job.start_phase("dataset")
    write_directory(
        run.dataset_path,
        lambda folder: write_dataset(folder, corpus, tokenizer, job),
        kind="dataset",
        tokenizer_sha256=sha256_of(run.tokenizer_path),
    )
    return Dataset(corpus=corpus, tokenizer=tokenizer, shard=Shard.open(run.dataset_path, "train"))


def scan_progress(job: Job) -> Callable[[int, int], None]:
    """A callback that reports the number and bytes of files read; their total is not known in advance."""
    return lambda files, size: job.report.update(0.0, f"{files:,} files, {size / 1e6:.1f} MB of text")


def sampled_texts(corpus: Corpus, seed: int) -> Iterator[bytes]:
    """Training texts in random order, until `TOKENIZER_SAMPLE_BYTES` are exceeded."""
    documents = corpus.train
    size = 0
    for number in np.random.default_rng(seed).permutation(len(documents)).tolist():
        if size > TOKENIZER_SAMPLE_BYTES:
            return
        size += documents[number].bytes
        yield corpus.text(documents[number])


def write_dataset(folder: Path, corpus: Corpus, tokenizer: Tokenizer, job: Job) -> None:
    """Write the training documents as token ids; about every second one starts with a line that has its path."""
    documents = corpus.train

    def ids() -> Iterator[list[int]]:
        for number, document in enumerate(documents):
            job.report.update(number / len(documents))
            document_ids = tokenizer.encode(corpus.text(document))
            if int(document.sha256, 16) % PATH_LINE_INTERVAL == 0:
                document_ids = [*path_header(document.path, tokenizer), *document_ids]
            yield document_ids

    write_shard(folder, "train", ids(), tokenizer.vocab_size, tokenizer.end_of_text)


def corpus_warnings(corpus: Corpus) -> Iterator[str]:
    """Warnings about a corpus, to be shown before the training: small, truncated, near duplicates, redacted secrets."""
    if corpus.report["split_fallback"]:
        yield f"small repository: {corpus.report['split_fallback']}"
    train_bytes = sum(document.bytes for document in corpus.train)
    val_bytes = sum(document.bytes for document in corpus.val)
    if train_bytes < MIN_TRAIN_BYTES:
        yield (
            f"only {train_bytes:,} bytes to train on: the model will repeat them, and its scores say little; "
            f"{MIN_TRAIN_BYTES:,} bytes or more are recommended"
        )
    elif val_bytes > train_bytes:
        yield "more text is held out than trained on: a few files have most of the text, so the scores say little"
    yield from corpus.report.get("notes", [])
    for sentence in corpus.report["truncated"]:
        yield f"the repository was not read completely: {sentence}"
    if (long_lines := corpus.report.get("long_lines", {"lines": 0}))["lines"]:
        yield "{lines} lines too long to be hand-written ({bytes:,} bytes) were left out of {files} files".format(
            **long_lines
        )
    num_near_duplicates = sum(document.near_duplicate_of is not None for document in corpus.val)
    if num_near_duplicates:
        yield f"{num_near_duplicates} held-out files nearly copy a training file; scores are also given without them"
    if redactions := sum(corpus.report["redactions"].values()):
        yield f"{redactions} secrets were replaced by placeholders: `cllm info --redactions` names their places"
    for entry in corpus.report.get("keep_unused", []):
        yield f"[corpus] keep has {entry!r}, which matches no secret"
