import pytest
from sources import SOURCES

from cllm.syntax.closing import closing, fewest_errors, levels, open_brackets
from cllm.syntax.errors import errors
from cllm.syntax.grammars import EXTENSIONS, GRAMMARS, grammar_of


@pytest.mark.parametrize("language", SOURCES)
def test_every_line_of_a_right_text_can_be_closed_and_then_parses(language: str) -> None:
    text = SOURCES[language]
    for place in range(len(text)):
        if text[place : place + 1] == b"\n":
            closer = closing(language, text[:place])
            assert closer is not None, text[:place]
            assert errors(language, text[:place] + closer + b"\n") == 0


@pytest.mark.parametrize("language", SOURCES)
def test_what_is_wrong_cannot_be_closed(language: str) -> None:
    assert closing(language, SOURCES[language] + b"\n)]} x = = ) 5 5\n") is None


def test_errors_of_the_text_itself_are_allowed_for() -> None:
    wrong = b"int f(void) { return 1 1; }\nint g(void) {"
    assert closing("C", wrong) is None
    assert fewest_errors("C", wrong) == errors("C", wrong + b"}")
    assert closing("C", wrong, errors("C", wrong + b"}")) is not None


def test_open_brackets_from_the_outside() -> None:
    assert open_brackets("C", b"#ifdef A\nint f() { g(x[1], y[") == ["#ifdef", "{", "(", "["]
    assert open_brackets("JavaScript", b"f(`a ${b") == ["(", "${"]
    assert open_brackets("C", b"int f() { if (x < 1) {} ") == ["{"]


def test_levels_from_a_place_on() -> None:
    outside, words = levels("C", b"int f() { if (x) { y; } }", 9)
    assert outside == 1
    assert [level for word, level in words if word.type in "{}"] == [2, 1, 0]


def test_a_grammar_by_a_file_s_name() -> None:
    assert grammar_of("src/a.C") == "C"
    assert grammar_of("a/b.tsx") == "TSX"
    assert grammar_of("Makefile") is grammar_of("a.pyx") is grammar_of("c/.") is None
    assert set(EXTENSIONS) == set(GRAMMARS)
