"""A token n-gram baseline: interpolated exact counts of all orders over the training files and the file so far.

    p(w | h) = (c(h w) + t(h) p(w | shorter h)) / (c(h) + t(h)),   c: counts, t(h): number of distinct tokens after h

(Witten & Bell 1991; adding the file's own counts to those of the training files makes it a nested cache, as in
Hellendoorn & Devanbu 2017). Training counts are sorted arrays of 64-bit hashes, the file's counts are a dictionary.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]

MAX_CONTEXT_TOKENS = 4  # tokens
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
EMPTY_CONTEXT_HASH = np.uint64(0xBF58476D1CE4E5B9)


class Ngram:
    """N-gram counts of training documents, each given as ids (N,) int64 that end with end-of-text."""

    def __init__(self, documents: Sequence[Ids], vocab_size: int) -> None:
        self._vocab_size = vocab_size
        hashed = [context_hashes(ids) for ids in documents]
        self._contexts, self._grams, self._distinct = [], [], []
        for length in range(MAX_CONTEXT_TOKENS + 1):
            contexts = np.concatenate([found[length][length:] for found in hashed])
            following = np.concatenate([ids[length:] for ids in documents])
            grams = gram_hashes(contexts, following)
            first_occurrences = np.unique(grams, return_index=True)[1]
            self._contexts.append(np.sort(contexts))
            self._grams.append(np.sort(grams))
            self._distinct.append(np.sort(contexts[first_occurrences]))

    def bits(self, ids: Ids) -> float:
        """Return the bits of a document's ids (N,); each id is counted after its prediction, for this call only."""
        contexts = context_hashes(ids)
        keys, counts = [], []
        for length in range(MAX_CONTEXT_TOKENS + 1):
            grams = gram_hashes(contexts[length], ids)
            keys.append((contexts[length].tolist(), grams.tolist()))
            sorted_ = (self._contexts[length], self._grams[length], self._distinct[length])
            queries = (contexts[length], grams, contexts[length])
            counts.append([occurrences(*pair).tolist() for pair in zip(sorted_, queries, strict=True)])
        file_counts: Counter[tuple[int, int, int]] = Counter()  # (length, what, hash)
        bits = 0.0
        for position in range(len(ids)):
            probability = 1 / self._vocab_size
            for length in range(min(position, MAX_CONTEXT_TOKENS) + 1):
                context, gram = keys[length][0][position], keys[length][1][position]
                train_counts = counts[length]
                context_count = train_counts[0][position] + file_counts[length, 0, context]
                gram_count = train_counts[1][position] + file_counts[length, 1, gram]
                num_distinct = train_counts[2][position] + file_counts[length, 2, context]
                if context_count:
                    probability = (gram_count + num_distinct * probability) / (context_count + num_distinct)
                file_counts[length, 0, context] += 1
                file_counts[length, 1, gram] += 1
                file_counts[length, 2, context] += gram_count == 0
            bits -= math.log2(probability)
        return bits


def context_hashes(ids: Ids) -> list[Hashes]:
    """Return, for each context length n, hashes (N,) uint64 of the n ids before each position of ids (N,).

    The first n hashes are undefined.
    """
    hashes = [np.full(len(ids), EMPTY_CONTEXT_HASH)]
    for length in range(1, MAX_CONTEXT_TOKENS + 1):
        before = np.zeros(len(ids), np.uint64)
        before[length:] = ids[:-length].astype(np.uint64) + np.uint64(1) if length < len(ids) else 0
        hashes.append(_mixed(hashes[-1] * HASH_MULTIPLIER + before))
    return hashes


def gram_hashes(contexts: Hashes, ids: Ids) -> Hashes:
    """Return hashes (N,) uint64 of contexts (N,) together with the following ids (N,)."""
    return _mixed(contexts + ids.astype(np.uint64) * EMPTY_CONTEXT_HASH + np.uint64(1))


def occurrences(sorted_hashes: Hashes, queries: Hashes) -> Counts:
    """Return the number of occurrences (N,) int64 of each query (N,) in sorted hashes (M,)."""
    found: Counts = np.searchsorted(sorted_hashes, queries, "right") - np.searchsorted(sorted_hashes, queries, "left")
    return found


def _mixed(hashes: Hashes) -> Hashes:
    return (hashes ^ hashes >> np.uint64(31)) * HASH_MULTIPLIER
