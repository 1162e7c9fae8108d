"""Unmatched brackets of trees with errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import SOURCES

from cllm.syntax.balance import Brackets, brackets_of
from cllm.syntax.grammars import parse


def found_in(language: str, text: bytes) -> Brackets:
    tree = parse(language, text)
    assert tree is not None
    found = brackets_of(tree, text, language)
    assert found is not None
    return found


@pytest.mark.parametrize("language", SOURCES)
def test_valid_text_is_balanced_and_a_surplus_bracket_is_found(language: str) -> None:
    text = SOURCES[language]
    assert found_in(language, text).num_unmatched == 0
    assert found_in(language, text + b"\n}\n").num_unmatched >= 1


@pytest.mark.parametrize(
    ("language", "text", "unmatched", "num_open"),
    [
        ("C", b"int f() { case 'a' ... 'f': return (1); }", [], 0),
        ("C", b"int f() { x ) }", [12], 0),
        ("C", b"int f() { g(1; }", [15], 0),
        ("C", b"int f() {\n#ifdef A\n if (a) {\n#else\n if (b) {\n#endif\n x();\n }\n}\n", [], 0),
        ("C", b"int f() {\n#if A\n if (a) {\n#elif B\n if (b) {\n#else\n {\n#endif\n x();\n", [], 2),
        ("C++", b"struct A { void f(this A& self); int b : 3 = 1; };", [], 0),
        ("Shell", b"if x; then\n case $a in b) echo ;; esac\n", [], 1),
        ("Rust", b"#[cfg(x)]\nfn f( { let x = 1 $$; }", [], 1),
        ("JavaScript", b"const a = `b ${x`; ) }", [19], 0),
    ],
)
def test_examples(language: str, text: bytes, unmatched: list[int], num_open: int) -> None:
    found = found_in(language, text)
    assert (found.unmatched, len(found.open)) == (unmatched, num_open)


@given(st.binary(max_size=100), st.sampled_from(sorted(SOURCES)))
def test_any_bytes_are_judged(text: bytes, language: str) -> None:
    found = found_in(language, text)
    assert all(0 <= offset < len(text) for offset in found.unmatched)


def test_a_tree_with_too_many_errors_is_not_judged() -> None:
    tree = parse("C", b"( " * 30_000)
    assert tree is not None and brackets_of(tree, b"( " * 30_000, "C") is None
