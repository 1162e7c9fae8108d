import pytest
from sources import SOURCES

from cllm.syntax.closing import find_closing, min_errors, nesting_levels, open_brackets
from cllm.syntax.error_count import count_errors
from cllm.syntax.grammars import EXTENSIONS, GRAMMARS, language_with_grammar


@pytest.mark.parametrize("language", SOURCES)
def test_every_line_of_a_right_text_can_be_closed_and_then_parses(language: str) -> None:
    text = SOURCES[language]
    for offset in range(len(text)):
        if text[offset : offset + 1] == b"\n":
            closer = find_closing(language, text[:offset])
            assert closer is not None, text[:offset]
            assert count_errors(language, text[:offset] + closer + b"\n") == 0


@pytest.mark.parametrize("language", SOURCES)
def test_what_is_wrong_cannot_be_closed(language: str) -> None:
    assert find_closing(language, SOURCES[language] + b"\n)]} x = = ) 5 5\n") is None


def test_errors_of_the_text_itself_are_allowed_for() -> None:
    wrong = b"int f(void) { return 1 1; }\nint g(void) {"
    assert find_closing("C", wrong) is None
    assert min_errors("C", wrong) == count_errors("C", wrong + b"}")
    assert find_closing("C", wrong, count_errors("C", wrong + b"}")) is not None


def test_open_brackets_from_the_outside() -> None:
    assert open_brackets("C", b"#ifdef A\nint f() { g(x[1], y[") == ["#ifdef", "{", "(", "["]
    assert open_brackets("JavaScript", b"f(`a ${b") == ["(", "${"]
    assert open_brackets("C", b"int f() { if (x < 1) {} ") == ["{"]


def test_levels_from_a_place_on() -> None:
    outside, words = nesting_levels("C", b"int f() { if (x) { y; } }", 9)
    assert outside == 1
    assert [level for word, level in words if word.type in "{}"] == [2, 1, 0]


def test_a_grammar_by_a_file_s_name() -> None:
    assert language_with_grammar("src/a.C") == "C"
    assert language_with_grammar("a/b.tsx") == "TSX"
    assert language_with_grammar("Makefile") is language_with_grammar("a.pyx") is language_with_grammar("c/.") is None
    assert set(EXTENSIONS) == set(GRAMMARS)
