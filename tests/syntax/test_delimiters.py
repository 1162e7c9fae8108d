"""Brackets, quotes and comments within a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.syntax.delimiters import CLOSER_OF, num_closed, scan_delimiters


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"f(a, g[1", [b"(", b"["]),
        (b'f("a)', [b"(", b'"']),
        (rb"'it\'s", [b"'"]),
        (b"x; /* (see", [b"/*"]),
        (b"} else {", [b"{"]),
        (b"f(a) /* b */ [c]", []),
    ],
)
def test_open_delimiters_of_a_line(line: bytes, expected: list[bytes]) -> None:
    assert scan_delimiters(line) == expected


def test_delimiters_that_a_text_closes_are_counted_even_if_it_opens_others() -> None:
    assert num_closed([b"(", b"["], b"a") == 0
    assert num_closed([b"(", b"["], b"f(a)") == 0
    assert num_closed([b"(", b"["], b"a](") == 1
    assert num_closed([b"("], b"a)(") == 1
    assert num_closed([b"(", b'"'], b'a", b') == 1


@given(st.lists(st.sampled_from([*CLOSER_OF, b"x", b" "]), max_size=8))
def test_closers_in_reverse_order_close_all_that_is_open(parts: list[bytes]) -> None:
    open_delimiters = scan_delimiters(b"".join(parts))
    closers = b"".join(CLOSER_OF[delimiter] for delimiter in reversed(open_delimiters))
    assert num_closed(open_delimiters, closers) == len(open_delimiters)
