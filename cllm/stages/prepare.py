"""From the repository to ids on disk: corpus, tokenizer, dataset."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cllm.artifacts import sha256_of, write_directory
from cllm.corpus import Corpus, ingest
from cllm.dataset import write_shard
from cllm.run import Run
from cllm.stages.session import Session
from cllm.tokenizer import Tokenizer
from cllm.training.choose import vocab_size_for

TOKENIZER_SAMPLE_BYTES = 32_000_000  # of text, from which the merges are learned
NAMED_SHARE = 2  # one document in this many is learned with the line that names its path


def prepare(session: Session, run: Run) -> None:
    """Write a new run's corpus, tokenizer and dataset."""
    report = session.report
    report.phase("scan")
    corpus = ingest(session.root, run.corpus, session.corpus_config, scan_progress(session))
    learned = sum(document.bytes for document in corpus.train)
    held_out = sum(document.bytes for document in corpus.val)
    report.say(
        f"{len(corpus.train)} files, {learned / 1e6:.2f} MB to learn; {len(corpus.val)} files, "
        f"{held_out / 1e6:.2f} MB held out"
    )
    for sentence in warnings_about(corpus):
        report.say(sentence)
    report.phase("tokenizer")
    vocab_size = session.tokenizer_config.vocab_size or vocab_size_for(learned)
    tokenizer = Tokenizer.learn(sampled_texts(corpus, session.options.seed), vocab_size)
    tokenizer.save(run.tokenizer)
    report.phase("dataset")
    write_directory(
        run.dataset,
        lambda folder: write_dataset(folder, corpus, tokenizer, session),
        kind="dataset",
        tokenizer_sha256=sha256_of(run.tokenizer),
    )


def scan_progress(session: Session) -> Callable[[int, int], None]:
    """Tells the display of each file that was read; how many there are is not known before."""
    return lambda files, size: session.report.update(0.0, f"{files:,} files, {size / 1e6:.1f} MB of text")


def sampled_texts(corpus: Corpus, seed: int) -> Iterator[bytes]:
    """Learned texts in a drawn order, up to what the tokenizer learns from."""
    documents = corpus.train
    size = 0
    for number in np.random.default_rng(seed).permutation(len(documents)).tolist():
        if size > TOKENIZER_SAMPLE_BYTES:
            return
        size += documents[number].bytes
        yield corpus.text(documents[number])


def write_dataset(folder: Path, corpus: Corpus, tokenizer: Tokenizer, session: Session) -> None:
    """The learned documents as ids; every second one begins with the line that names its path."""
    documents = corpus.train

    def ids() -> Iterator[list[int]]:
        for number, document in enumerate(documents):
            session.report.update(number / len(documents))
            text = tokenizer.encode(corpus.text(document))
            if int(document.sha256, 16) % NAMED_SHARE == 0:
                path = tokenizer.encode(f"{document.path}\n".encode("utf-8", "surrogateescape"))
                text = [tokenizer.special["<|file_sep|>"], *path, *text]
            yield text

    write_shard(folder, "train", ids(), tokenizer.vocab_size, tokenizer.end_of_text)


def warnings_about(corpus: Corpus) -> Iterator[str]:
    """What a user should know about a corpus before waiting for it."""
    if corpus.report["split_fallback"]:
        yield f"small repository: {corpus.report['split_fallback']}"
    for sentence in corpus.report["truncated"]:
        yield f"not everything was read: {sentence}"
    near = sum(document.near_duplicate_of is not None for document in corpus.val)
    if near:
        yield f"{near} held-out files nearly copy a learned one; every figure is given without them too"
    if redactions := sum(corpus.report["redactions"].values()):
        yield f"{redactions} secrets were replaced by placeholders"
