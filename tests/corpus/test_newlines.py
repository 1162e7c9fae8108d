"""Line ends: which one a text has most of, and their replacement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus.newlines import CR, CRLF, LF, dominant_newline, to_lf, with_newline

TEXTS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", "é".encode(), b"\t"]), max_size=12).map(b"".join)


@pytest.mark.parametrize(
    ("text", "newline"),
    [(b"", LF), (b"a", LF), (b"a\r\n", CRLF), (b"\r", CR), (b"\n\r\n", LF), (b"\r\n\r", CRLF), (b"\r\r\n\r", CR)],
)
def test_dominant_newline(text: bytes, newline: bytes) -> None:
    assert dominant_newline(text) == newline


@given(TEXTS)
def test_lf_is_pythons_universal_newlines(text: bytes) -> None:
    assert to_lf(text) == b"".join(line + b"\n" for line in text.splitlines())[: len(to_lf(text))]
    assert to_lf(to_lf(text)) == to_lf(text) and CR not in to_lf(text)


@given(TEXTS, st.sampled_from([LF, CRLF, CR]))
def test_all_line_ends_are_replaced_and_none_doubled(text: bytes, newline: bytes) -> None:
    written = with_newline(text, newline)
    assert to_lf(written) == to_lf(text) and with_newline(written, newline) == written
    rest = written.replace(newline, b"")
    assert CR not in rest and LF not in rest
