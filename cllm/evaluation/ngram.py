"""A token n-gram as a baseline: exact counts of all orders over the learned files and the file so far, interpolated.

    p(w | h) = (c(h w) + t(h) p(w | shorter h)) / (c(h) + t(h)),   c counts, t(h) the different tokens seen after h

(Witten & Bell 1991; with the file's own counts added to the learned ones it is a nested cache, as in Hellendoorn &
Devanbu 2017). The learned counts are sorted arrays of hashes of 64 bits, those of the file a dictionary.
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
    """Counts of learned documents, each given as ids that end with end-of-text."""

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
        """Bits of a document's ids (N,), each learned after it was predicted, and all forgotten at the end."""
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
    """For each length of context, a hash of so many ids before each place (N,); of no meaning at the first places."""
    hashes = [np.full(len(ids), EMPTY_CONTEXT_HASH)]
    for length in range(1, MAX_CONTEXT_TOKENS + 1):
        before = np.zeros(len(ids), np.uint64)
        before[length:] = ids[:-length].astype(np.uint64) + np.uint64(1) if length < len(ids) else 0
        hashes.append(_mixed(hashes[-1] * HASH_MULTIPLIER + before))
    return hashes


def gram_hashes(contexts: Hashes, ids: Ids) -> Hashes:
    """Of contexts with the id that follows each (N,)."""
    return _mixed(contexts + ids.astype(np.uint64) * EMPTY_CONTEXT_HASH + np.uint64(1))


def occurrences(sorted_hashes: Hashes, queries: Hashes) -> Counts:
    """How many times each wanted hash stands among the sorted ones."""
    found: Counts = np.searchsorted(sorted_hashes, queries, "right") - np.searchsorted(sorted_hashes, queries, "left")
    return found


def _mixed(hashes: Hashes) -> Hashes:
    return (hashes ^ hashes >> np.uint64(31)) * HASH_MULTIPLIER
