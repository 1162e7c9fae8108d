"""Every context is found, and only where it is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cllm.memory.suffixes import Found, find, find_end, sorted_places

TEXTS = st.text("ab\0", max_size=60).map(str.encode)


def bytes_array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


@given(TEXTS, TEXTS)
def test_the_longest_end_of_a_context_is_found_at_all_its_places(text: bytes, context: bytes) -> None:
    order = sorted_places(bytes_array(text))
    assert sorted(order.tolist()) == list(range(1, len(text) + 1))
    found = find(bytes_array(text), order, bytes_array(context))
    assert found.length == max(n for n in range(len(context) + 1) if context[len(context) - n :] in text)
    assert sorted(order[found.low : found.high].tolist()) == slow_places(text, context, found.length)


@given(TEXTS, TEXTS, st.integers(0, 60))
def test_so_are_shorter_ends(text: bytes, context: bytes, length: int) -> None:
    length = min(length, len(context))
    order = sorted_places(bytes_array(text))
    found = find_end(bytes_array(text), order, bytes_array(context), length)
    assert sorted(order[found.low : found.high].tolist()) == slow_places(text, context, length)


def slow_places(text: bytes, context: bytes, length: int) -> list[int]:
    end = context[len(context) - length :]
    return [place for place in range(max(1, length), len(text) + 1) if text[place - length : place] == end]


def test_an_empty_text_has_no_places() -> None:
    order = sorted_places(bytes_array(b""))
    assert find(bytes_array(b""), order, bytes_array(b"abc")) == Found(0, 0, 0)
