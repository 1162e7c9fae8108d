"""The suffix array against a search of all positions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cllm.memory.index.suffix_array import SuffixRange, build_suffix_array, longest_suffix_range, suffix_range

TEXTS = st.text("ab\0", max_size=60).map(str.encode)


def bytes_array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


@given(TEXTS, TEXTS)
def test_the_longest_suffix_of_a_context_is_found_at_all_its_positions(text: bytes, context: bytes) -> None:
    suffix_array = build_suffix_array(bytes_array(text))
    assert sorted(suffix_array.tolist()) == list(range(1, len(text) + 1))
    found = longest_suffix_range(bytes_array(text), suffix_array, bytes_array(context))
    assert found.length == max(n for n in range(len(context) + 1) if context[len(context) - n :] in text)
    assert sorted(suffix_array[found.low : found.high].tolist()) == reference_positions(text, context, found.length)


@given(TEXTS, TEXTS, st.integers(0, 60))
def test_shorter_suffixes_are_found_at_all_their_positions(text: bytes, context: bytes, length: int) -> None:
    length = min(length, len(context))
    suffix_array = build_suffix_array(bytes_array(text))
    found = suffix_range(bytes_array(text), suffix_array, bytes_array(context), length)
    assert sorted(suffix_array[found.low : found.high].tolist()) == reference_positions(text, context, length)


def reference_positions(text: bytes, context: bytes, length: int) -> list[int]:
    end = context[len(context) - length :]
    return [position for position in range(max(1, length), len(text) + 1) if text[position - length : position] == end]


def test_an_empty_text_has_no_matches() -> None:
    suffix_array = build_suffix_array(bytes_array(b""))
    assert longest_suffix_range(bytes_array(b""), suffix_array, bytes_array(b"abc")) == SuffixRange(0, 0, 0)
