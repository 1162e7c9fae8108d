"""The n-gram against one that counts with dictionaries, and sums to one."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from cllm.evaluation.ngram import LONGEST_CONTEXT, Ngram

VOCABULARY = 6


def documents(seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, VOCABULARY, length).tolist() for length in (30, 7, 1, 50)]


def slow_bits(learned: list[list[int]], document: list[int]) -> float:
    grams: Counter[tuple[int, ...]] = Counter()
    followers: dict[tuple[int, ...], set[int]] = defaultdict(set)

    def learn(ids: list[int], place: int) -> None:
        for length in range(min(place, LONGEST_CONTEXT) + 1):
            context = tuple(ids[place - length : place])
            grams[(*context, ids[place])] += 1
            followers[context].add(ids[place])

    for ids in learned:
        for place in range(len(ids)):
            learn(ids, place)
    bits = 0.0
    for place, id_ in enumerate(document):
        chances = np.full(VOCABULARY, 1 / VOCABULARY)
        for length in range(min(place, LONGEST_CONTEXT) + 1):
            context = tuple(document[place - length : place])
            counts = np.array([grams[(*context, other)] for other in range(VOCABULARY)])
            kinds = len(followers[context])
            if counts.sum():
                chances = (counts + kinds * chances) / (counts.sum() + kinds)
        assert chances.sum() == pytest.approx(1)
        bits -= math.log2(chances[id_])
        learn(document, place)
    return bits


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_counts_as_a_slow_one_does(seed: int) -> None:
    *learned, document = documents(seed)
    ngram = Ngram([np.array(ids, np.int64) for ids in learned], VOCABULARY)
    for text in (document, document[:1], [0] * 20):
        assert ngram.bits(np.array(text, np.int64)) == pytest.approx(slow_bits(learned, text), rel=1e-9)
