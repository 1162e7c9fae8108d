"""Where a completion ends if its text has CRLF, or characters that the file's encoding lacks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.generation.guide.stopping import StoppingCriteria
from cllm.generation.predict.sampling import Until


def end_of(
    until: Until, generated: bytes, stop: tuple[str, ...] = (), language: str | None = None, encoding: str = "utf-8"
) -> bytes | None:
    """The text before the end; None if it does not end."""
    offset = StoppingCriteria(until, stop, language, encoding=encoding).stop_offset(generated, len(generated))
    return None if offset is None else generated[:offset]


@pytest.mark.parametrize(
    ("until", "stop", "generated", "expected"),
    [
        ("line", (), b"return c;\r\n", b"return c;"),
        ("line", (), b"\r\n  return c;\r\nx", b"\r\n  return c;"),
        ("line", (), b"return c;\r", b"return c;"),
        ("block", (), b"One paragraph.\r\n\r\nAnother.\r\n\r\n", b"One paragraph."),
        ("block", (), b"\r\n\r\nOne.\r\nTwo.\n\nx", b"\r\n\r\nOne.\r\nTwo."),
        ("tokens", ("\n",), b"a\r\nb", b"a"),
        ("tokens", ("\r\n",), b"a\r\nb", b"a"),
        ("tokens", ("b",), b"a\r\nb", b"a\r\n"),
        ("tokens", ("\n",), b"\r\n", b""),
        ("tokens", (), b"a\r\nb", None),
        ("line", (), b"a\rb", b"a"),
    ],
)
def test_end_of_a_text_with_crlf(until: Until, stop: tuple[str, ...], generated: bytes, expected: bytes | None) -> None:
    assert end_of(until, generated, stop) == expected


@pytest.mark.parametrize(
    ("language", "text"), [("C", "if (a) {\n  b();\n}\nc();\n"), ("Python", "if a:\n  b()\nc()\n")]
)
def test_a_block_ends_at_the_same_place_with_crlf(language: str | None, text: str) -> None:
    with_lf = end_of("block", text.encode(), language=language)
    with_crlf = end_of("block", text.replace("\n", "\r\n").encode(), language=language)
    assert with_lf is not None and with_crlf is not None
    assert with_crlf.replace(b"\r\n", b"\n") == with_lf and not with_crlf.endswith(b"\r")


@pytest.mark.parametrize(
    ("generated", "encoding", "expected"),
    [
        ("größe 漢".encode(), "cp1252", "größe ".encode()),
        ("größe 漢".encode(), "utf-16-le", None),
        ("größe 漢".encode()[:-1], "cp1252", None),  # half a character is none yet
        (b"a\xffb", "cp1252", b"a"),
        ("größe".encode(), "cp1252", None),
    ],
)
def test_text_ends_before_a_character_that_the_encoding_lacks(
    generated: bytes, encoding: str, expected: bytes | None
) -> None:
    assert end_of("tokens", generated, encoding=encoding) == expected


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"a", b" "]), max_size=8).map(b"".join), st.sampled_from(["line", "block"])
)
def test_a_text_never_ends_between_cr_and_lf(generated: bytes, until: Until) -> None:
    offset = StoppingCriteria(until, ("\n", "a")).stop_offset(generated, len(generated))
    assert offset is None or generated[max(0, offset - 1) : offset + 1] != b"\r\n"
