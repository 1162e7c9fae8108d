"""Boundaries of UTF-8 characters and their UTF-16 code units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus.characters import complete_length, index_of_utf16_unit, next_boundary, utf16_length


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_loses_only_half_characters(text: str, cut: int) -> None:
    content = text.encode()
    head, tail = content[:cut], content[min(cut, len(content)) :]
    whole = head[: complete_length(head)]
    assert whole == head.decode(errors="ignore").encode() and len(head) - len(whole) <= 3
    assert tail[next_boundary(tail, 0) :] == tail.decode(errors="ignore").encode()
    assert content[next_boundary(content, cut) :].decode() == content[cut:].decode(errors="ignore")


@pytest.mark.parametrize("text", [b"", b"a", b"\xff", b"a\x80\x80\x80\x80", b"\xc0", b"\xf5\x80", b"\xc3\xa9", b"\x80"])
def test_bytes_that_are_no_beginning_of_a_character_stay(text: bytes) -> None:
    assert complete_length(text) == len(text)


@given(st.text())
def test_utf16_units_are_those_of_the_encoder(text: str) -> None:
    assert utf16_length(text) == len(text.encode("utf-16-le")) // 2
    units = 0
    for index, character in enumerate(text):
        for unit in range(utf16_length(character)):
            assert index_of_utf16_unit(text, units + unit) == index
        units += utf16_length(character)
    assert index_of_utf16_unit(text, units) == index_of_utf16_unit(text, units + 9) == len(text)
