"""The search for closings of unfinished texts, and nesting levels."""

import pytest
from sources import SOURCES

from cllm.syntax.closing import find_closing, min_errors, nesting_levels
from cllm.syntax.error_count import count_errors
from cllm.syntax.grammars import EXTENSIONS, GRAMMARS, language_with_grammar


@pytest.mark.parametrize("language", SOURCES)
def test_valid_text_cut_at_any_line_can_be_closed(language: str) -> None:
    text = SOURCES[language]
    for offset in range(len(text)):
        if text[offset : offset + 1] == b"\n":
            closer = find_closing(language, text[:offset])
            assert closer is not None, text[:offset]
            assert count_errors(language, text[:offset] + closer + b"\n") == 0


@pytest.mark.parametrize("language", SOURCES)
def test_invalid_text_has_no_closing(language: str) -> None:
    assert find_closing(language, SOURCES[language] + b"\n)]} x = = ) 5 5\n") is None


def test_max_errors_allows_errors_of_the_text_itself() -> None:
    wrong = b"int f(void) { return 1 1; }\nint g(void) {"
    assert find_closing("C", wrong) is None
    assert min_errors("C", wrong) == count_errors("C", wrong + b"}")
    assert find_closing("C", wrong, count_errors("C", wrong + b"}")) is not None


def test_nesting_levels_start_at_the_given_offset() -> None:
    outside, leaves = nesting_levels("C", b"int f() { if (x) { y; } }", 9)
    assert outside == 1
    assert [level for leaf, level in leaves if leaf.type in "{}"] == [2, 1, 0]


def test_language_is_chosen_by_file_extension() -> None:
    assert language_with_grammar("src/a.C") == "C"
    assert language_with_grammar("a/b.tsx") == "TSX"
    assert language_with_grammar("Makefile") is language_with_grammar("a.pyx") is language_with_grammar("c/.") is None
    assert set(EXTENSIONS) == set(GRAMMARS)
