"""The n-gram baseline against a reference implementation with dictionaries, whose probabilities sum to one."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from cllm.evaluation.ngram import MAX_CONTEXT_TOKENS, Ngram

VOCABULARY = 6


def documents(seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, VOCABULARY, length).tolist() for length in (30, 7, 1, 50)]


def reference_bits(train_documents: list[list[int]], document: list[int]) -> float:
    grams: Counter[tuple[int, ...]] = Counter()
    followers: dict[tuple[int, ...], set[int]] = defaultdict(set)

    def count(ids: list[int], position: int) -> None:
        for length in range(min(position, MAX_CONTEXT_TOKENS) + 1):
            context = tuple(ids[position - length : position])
            grams[(*context, ids[position])] += 1
            followers[context].add(ids[position])

    for ids in train_documents:
        for position in range(len(ids)):
            count(ids, position)
    bits = 0.0
    for position, id_ in enumerate(document):
        probabilities = np.full(VOCABULARY, 1 / VOCABULARY)
        for length in range(min(position, MAX_CONTEXT_TOKENS) + 1):
            context = tuple(document[position - length : position])
            counts = np.array([grams[(*context, other)] for other in range(VOCABULARY)])
            num_distinct = len(followers[context])
            if counts.sum():
                probabilities = (counts + num_distinct * probabilities) / (counts.sum() + num_distinct)
        assert probabilities.sum() == pytest.approx(1)
        bits -= math.log2(probabilities[id_])
        count(document, position)
    return bits


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bits_equal_the_reference_implementation(seed: int) -> None:
    *train_documents, document = documents(seed)
    ngram = Ngram([np.array(ids, np.int64) for ids in train_documents], VOCABULARY)
    for text in (document, document[:1], [0] * 20):
        assert ngram.bits(np.array(text, np.int64)) == pytest.approx(reference_bits(train_documents, text), rel=1e-9)
