"""Positions: lines and columns in code points and in UTF-16 code units, to byte offsets and back."""

from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus.characters import utf16_length
from cllm.corpus.positions import lines_of, offset_at, offset_at_utf16, position_at, position_at_utf16

PIECES = ["\r", "\n", "\r\n", "a", "é", "漢", "👩", "\t", "\u2028", "\x0c", "\x85"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
EMOJI = 's = "👩\u200d💻"; t = s.\n'.encode()


def boundaries(content: bytes) -> list[int]:
    """Offsets of a text that are neither inside of a character nor between CR and LF."""
    offsets = [len(content[:end].decode(errors="ignore").encode()) for end in range(len(content) + 1)]
    return [offset for offset in sorted(set(offsets)) if content[offset - 1 : offset + 1] != b"\r\n" or not offset]


@given(TEXTS)
def test_lines_are_those_between_line_ends_only(text: str) -> None:
    content = text.encode()
    lines = [content[begin:end].decode() for begin, end in lines_of(content)]
    assert lines == text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@given(TEXTS)
def test_positions_and_offsets_are_each_others_inverse(text: str) -> None:
    content = text.encode()
    lines = lines_of(content)
    for offset in boundaries(content):
        line, column = position_at(content, offset)
        assert offset_at(content, *lines[line - 1], column) == offset
        line_utf16, unit = position_at_utf16(content, offset)
        assert offset_at_utf16(content, line_utf16, unit) == offset
        assert line_utf16 == line - 1
        assert unit == utf16_length(content[lines[line - 1][0] : offset].decode())


@given(TEXTS, st.integers(0, 16), st.integers(0, 40))
def test_any_utf16_position_is_at_a_boundary(text: str, line: int, unit: int) -> None:
    assert offset_at_utf16(text.encode(), line, unit) in boundaries(text.encode())


def test_an_emoji_is_three_code_points_and_five_utf16_units() -> None:
    """As in pygls#302: an editor gives 19 (from 0) for the place that column 18 (from 1) names."""
    expected = EMOJI.index(b"\n")
    assert offset_at(EMOJI, *lines_of(EMOJI)[0], 18) == expected == offset_at_utf16(EMOJI, 0, 19)
    assert offset_at_utf16(EMOJI, 0, 6) == EMOJI.index("👩".encode())  # inside of a surrogate pair


def test_columns_end_with_the_line() -> None:
    content = b"ab\r\nc"
    assert [offset_at(content, 0, 2, column) for column in (1, 2, 3, 4)] == [0, 1, 2, None]
    assert [offset_at_utf16(content, line, 99) for line in (0, 1, 2)] == [2, 5, 5]
    assert position_at(content, 3) == (1, 3)  # between CR and LF


@given(st.binary(max_size=20), st.integers(0, 20))
def test_any_bytes_have_positions(content: bytes, offset: int) -> None:
    line, column = position_at(content, min(offset, len(content)))
    begin, end = lines_of(content)[line - 1]
    found = offset_at(content, begin, end, column)
    assert found is not None and begin <= found <= end
