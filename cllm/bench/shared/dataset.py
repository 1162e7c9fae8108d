"""What all contenders learn from and are scored on: the same documents, as ids of the same tokenizer."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cllm.corpus import Corpus
from cllm.dataset import Shard, write_shard
from cllm.errors import CorpusError
from cllm.stages.prepare import sampled_texts
from cllm.tokenizer import Tokenizer

SCORED_BYTES = 64_000  # of held-out files, drawn: as much as a curve's points can wait for

MIN_TOKENS = 1025  # the longest row that anybody learns from


@dataclass(frozen=True, kw_only=True)
class BenchmarkDataset:
    """A folder with `tokenizer.json` and the shards `train` and `val` in `dataset`."""

    folder: Path
    vocab_size: int
    train_tokens: int
    train_bytes: int
    scored_bytes: tuple[int, ...]  # of each document of `val`


def prepare_dataset(corpus: Corpus, folder: Path, vocab_size: int, seed: int) -> BenchmarkDataset:
    """Learn a tokenizer and encode: all learned documents, and a drawn sample of those that are held out."""
    if not corpus.val:
        raise CorpusError("nothing is held out in so small a repository, so nothing can be compared on it")
    (folder / "dataset").mkdir(parents=True)
    tokenizer = Tokenizer.train(sampled_texts(corpus, seed), vocab_size)
    tokenizer.save(folder / "tokenizer.json")
    held_out = sampled_held_out(corpus, seed)
    for name, texts in (("train", map(corpus.text, corpus.train)), ("val", iter(held_out))):
        ids = map(tokenizer.encode, texts)
        write_shard(folder / "dataset", name, ids, tokenizer.vocab_size, tokenizer.end_of_text)
    num_tokens = Shard.open(folder / "dataset", "train").num_tokens
    if num_tokens < MIN_TOKENS:
        raise CorpusError(f"there are {num_tokens} tokens to learn from; to compare, there must be {MIN_TOKENS}")
    return BenchmarkDataset(
        folder=folder,
        vocab_size=tokenizer.vocab_size,
        train_tokens=num_tokens,
        train_bytes=sum(document.bytes for document in corpus.train),
        scored_bytes=tuple(map(len, held_out)),
    )


def sampled_held_out(corpus: Corpus, seed: int) -> list[bytes]:
    """Held-out texts in a drawn order, those that are left over when what is scored is full left out."""
    found: list[bytes] = []
    for number in np.random.default_rng(seed).permutation(len(corpus.val)).tolist():
        document = corpus.val[number]
        if sum(map(len, found)) + document.bytes <= SCORED_BYTES:
            found.append(corpus.text(document))
    return found or [corpus.text(min(corpus.val, key=lambda document: document.bytes))]
