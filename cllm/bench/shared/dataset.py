"""Training and scoring data of all trainers: the same documents, as ids of the same tokenizer."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cllm.corpus import Corpus
from cllm.dataset import Shard, write_shard
from cllm.errors import CorpusError
from cllm.stages.prepare import sampled_texts
from cllm.tokenizer import Tokenizer

SCORED_BYTES = 64_000  # size of the held-out sample, small enough to score at each point of a curve

MIN_TOKENS = 1025  # the longest training row of any trainer


@dataclass(frozen=True, kw_only=True)
class BenchmarkDataset:
    """A folder with `tokenizer.json` and the shards `train` and `val` in `dataset`."""

    folder: Path
    vocab_size: int
    train_tokens: int
    train_bytes: int
    scored_bytes: tuple[int, ...]  # of each document of `val`


def prepare_dataset(corpus: Corpus, folder: Path, vocab_size: int, seed: int) -> BenchmarkDataset:
    """Train a tokenizer and encode all training documents and a random sample of the held-out ones.

    Raises CorpusError if no document is held out or there are fewer than 1025 training tokens.
    """
    if not corpus.val:
        raise CorpusError("the repository is too small: no file is held out for scoring")
    (folder / "dataset").mkdir(parents=True)
    tokenizer = Tokenizer.train(sampled_texts(corpus, seed), vocab_size)
    tokenizer.save(folder / "tokenizer.json")
    held_out = sampled_held_out(corpus, seed)
    for name, texts in (("train", map(corpus.text, corpus.train)), ("val", iter(held_out))):
        ids = map(tokenizer.encode, texts)
        write_shard(folder / "dataset", name, ids, tokenizer.vocab_size, tokenizer.end_of_text)
    num_tokens = Shard.open(folder / "dataset", "train").num_tokens
    if num_tokens < MIN_TOKENS:
        raise CorpusError(f"the repository is too small: {num_tokens} training tokens, a benchmark needs {MIN_TOKENS}")
    return BenchmarkDataset(
        folder=folder,
        vocab_size=tokenizer.vocab_size,
        train_tokens=num_tokens,
        train_bytes=sum(document.bytes for document in corpus.train),
        scored_bytes=tuple(map(len, held_out)),
    )


def sampled_held_out(corpus: Corpus, seed: int) -> list[bytes]:
    """Return held-out texts in random order, up to SCORED_BYTES in total; at least one."""
    found: list[bytes] = []
    for number in np.random.default_rng(seed).permutation(len(corpus.val)).tolist():
        document = corpus.val[number]
        if sum(map(len, found)) + document.bytes <= SCORED_BYTES:
            found.append(corpus.text(document))
    return found or [corpus.text(min(corpus.val, key=lambda document: document.bytes))]
