"""The incremental syntax check: offsets of the first certain error."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import SOURCES

from cllm.syntax.error_count import count_errors
from cllm.syntax.open_brackets import open_brackets
from cllm.syntax.prefix_parser import PrefixParser


@pytest.mark.parametrize("language", SOURCES)
def test_prefixes_of_a_valid_text_have_no_error(language: str) -> None:
    text = SOURCES[language]
    assert count_errors(language, text) == 0
    lines = [offset + 1 for offset in range(len(text)) if text[offset : offset + 1] == b"\n"]
    for begin in [0, *lines]:
        prefix_parser = PrefixParser(language, text[:begin])
        for end in lines:
            if end >= begin:
                assert prefix_parser.error_offset(text[begin:end]) is None, text[begin:end]


@pytest.mark.parametrize("language", SOURCES)
def test_error_offset_of_a_surplus_bracket_is_its_position(language: str) -> None:
    """The offset is that of one of the surplus brackets, not of an earlier word."""
    text = SOURCES[language]
    lines = text.split(b"\n")
    for number in range(1, len(lines)):
        if not lines[number].strip().endswith((b";", b"{", b"}", b"pass")):
            continue
        begin = b"\n".join(lines[:number]) + b"\n"
        assert PrefixParser(language, begin).error_offset(lines[number] + b" )]}\n") in (
            len(lines[number]) + 1,
            len(lines[number]) + 2,
            len(lines[number]) + 3,
        )


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(sorted(SOURCES)))
@settings(max_examples=200, deadline=None)
def test_error_offset_of_any_bytes_is_in_the_appended_text(before: bytes, after: bytes, language: str) -> None:
    found = PrefixParser(language, before).error_offset(after)
    assert found is None or 0 <= found <= len(after)
    assert PrefixParser(language, before + after).error_offset(b"") is None


def test_extend_equals_parsing_the_whole_prefix() -> None:
    rng = random.Random(0)
    for language, text in SOURCES.items():
        for _ in range(10):
            first, second = sorted(rng.randrange(len(text)) for _ in range(2))
            prefix_parser = PrefixParser(language, text[: first + rng.randrange(20)])
            prefix_parser.replace_end(first, text[first:second])
            longer = PrefixParser(language, text[: first // 2]).extended(text[first // 2 : second])
            rest, whole = text[second : second + 9], text[: second + 9]
            assert longer.extended(rest).open_brackets == open_brackets(language, whole)
            invalid = text[second : second + 20] + b" )]} ;"
            assert longer.error_offset(invalid) == prefix_parser.error_offset(invalid)
            assert prefix_parser.error_offset(invalid) == PrefixParser(language, text[:second]).error_offset(invalid)


@pytest.mark.parametrize(
    ("language", "before", "after", "offset"),
    [
        ("C", b"int x = ", b"5;\n", None),
        ("C", b"int x = ", b"5 y;\n", 2),
        ("C", b"#include <std", b"io.h>\n", None),
        ("C", b"/* a ", b"b c\n", None),
        ("C", b'char *s = "a', b" b c", None),
        ("C", b'char *s = "a', b" b c\n;", 5),
        ("C", b"void f(void) {\n  MACRO(x) int y;\n  ", b"if (x)\n", None),
        ("Python", b'def f():\n    """A text', b" that (goes on\n", None),
        ("Python", b"x = [1,\n", b"     2,\n", None),
        ("Python", b"x = [1,\n", b"     2 3\n", 7),
        ("Python", b'f(x, "a ', b"b c", None),
        ("Python", b'f(x, "a ', b"b c)\n", 0),
        ("JavaScript", b"const s = `a", b" ${b} c\n", None),
        ("Rust", b"fn f() { /* ", b"a } } }\n", None),
    ],
)
def test_error_offset_of_examples(language: str, before: bytes, after: bytes, offset: int | None) -> None:
    assert PrefixParser(language, before).error_offset(after) == offset
