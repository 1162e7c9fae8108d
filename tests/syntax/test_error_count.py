"""Counting of syntax errors, and the first complete construct of a generated text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm.syntax.error_count import complete_construct_end, count_errors, parses
from cllm.syntax.grammars import GRAMMARS, parser_for

VALID = {
    "C": b"#include <stdio.h>\nint main(void) { return 0; }\n",
    "C++": b"template <typename T>\nclass A : public B { T x; };\n",
    "Go": b"package main\n\nfunc main() { x := []int{1} }\n",
    "JSON": b'{"a": [1, null, "b"]}\n',
    "Java": b"public class A { int f() { return 1; } }\n",
    "JavaScript": b"export const f = async (x) => { await x?.y; };\n",
    "Python": b"def f(x: int) -> int:\n    return x if x else 1\n",
    "Rust": b"impl A for B { fn f(&self) -> u8 { 1 } }\n",
    "Shell": b'if [ -n "$x" ]; then\n  echo "${x%%.*}"\nfi\n',
    "TSX": b"const a = <A b={1}>text</A>;\n",
    "TypeScript": b"interface A<T> { b?: T; }\nconst c = <A<string>>d;\n",
}
BROKEN = {
    "C": b"int main(void) { return 0;\n",
    "C++": b"class A : public { ;\n",
    "Go": b"package main\n\nfunc main( { }\n",
    "JSON": b'{"a": [1, }\n',
    "Java": b"public class A { int f( { return 1; } }\n",
    "JavaScript": b"export const f = async (x) => { await x?.y;\n",
    "Python": b"def f(x: int -> int:\n    return x if x else\n",
    "Rust": b"impl A for { fn f(&self) -> u8 { 1 }\n",
    "Shell": b'if [ -n "$x" ]; then\n  echo\n',
    "TSX": b"const a = <A b={1}>text</B;\n",
    "TypeScript": b"interface A<T> { b?: ; }\n",
}


@pytest.mark.parametrize("language", sorted(GRAMMARS))
def test_valid_text_has_no_errors_and_broken_text_has_some(language: str) -> None:
    assert count_errors(language, VALID[language]) == 0
    assert parses(language, VALID[language])
    assert count_errors(language, BROKEN[language]) > 0
    assert not parses(language, BROKEN[language])


def test_language_without_a_grammar_has_no_parser() -> None:
    assert parser_for("Fortran") is None
    assert parser_for("C") is not None
    with pytest.raises(AssertionError, match="no grammar for Fortran"):
        count_errors("Fortran", b"END")


def test_missing_token_counts_as_an_error() -> None:
    assert count_errors("C", b"int x") == 1


def test_baseline_allows_errors_caused_by_macros() -> None:
    real = b"RB_GENERATE(tree, node, entry, compare)\nint f(void) { return 0; }\n"
    baseline = count_errors("C", real)
    assert baseline > 0
    assert parses("C", real + b"int g(void) { return 1; }\n", baseline)
    assert not parses("C", real + b"int g(void) { return ; ) }\n", baseline)


@pytest.mark.parametrize("language", sorted(GRAMMARS))
@pytest.mark.parametrize("text", [b"(" * 30_000 + b")" * 30_000, b"", b"\0" * 1000, bytes(range(256)) * 8])
def test_hostile_text_is_counted_within_four_seconds(language: str, text: bytes) -> None:
    begin = time.thread_time()
    count_errors(language, text)
    assert time.thread_time() - begin < 4  # the parse is stopped at 2 s


@pytest.mark.parametrize("language", ["C", "Python"])
def test_deeply_nested_text_is_traversed_without_recursion(language: str) -> None:
    begin = time.thread_time()
    assert count_errors(language, b"(" * 200_000 + b")" * 200_000) < 10
    assert count_errors(language, b"(" * 200_000) > 0
    assert time.thread_time() - begin < 8  # 0.7 s each on an idle core


def test_parse_timeout_counts_one_error_per_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cllm.syntax.grammars.PARSE_SECONDS", 0.05)
    text = b"<" * 200_000  # 100 s without the limit
    begin = time.thread_time()
    assert count_errors("Shell", text) == len(text)
    assert complete_construct_end("Shell", text, 0) == -1
    assert time.thread_time() - begin < 2


@settings(max_examples=200)
@given(st.binary(max_size=400), st.sampled_from(sorted(GRAMMARS)))
def test_results_for_any_bytes_are_within_bounds(text: bytes, language: str) -> None:
    assert 0 <= count_errors(language, text) <= 2 * len(text) + 1
    assert -1 <= complete_construct_end(language, text, len(text) // 2) <= len(text)


def _first_construct(language: str, prompt: bytes, generated: bytes) -> bytes | None:
    end = complete_construct_end(language, prompt + generated, len(prompt))
    return None if end < 0 else (prompt + generated)[:end]


@pytest.mark.parametrize(
    ("language", "prompt", "generated", "construct"),
    [
        ("C", b"int main", b"(void) { return 0; }\nint g(", b"int main(void) { return 0; }"),
        ("C", b"int main", b"(void) { return 0; }\nint g(int x) { if (x) { y", b"int main(void) { return 0; }"),
        ("C", b"struct", b" a { int b; };\nstruct c {", b"struct a { int b; };"),
        ("C", b"#include", b" <stdio.h>\n#inc", b"#include <stdio.h>\n"),
        ("C", b"int x;\n", b"/* y */ int y;\nint", b"int x;\n/* y */ int y;"),
        ("Python", b"def ", b"f():\n    return 1\n\ndef g(", b"def f():\n    return 1"),
        ("Python", b"class ", b"A:\n    x = 1\n\nclass", b"class A:\n    x = 1"),
        ("JavaScript", b"export ", b"function f() {}\nfunction (", b"export function f() {}"),
        ("Rust", b"use ", b"std::fs;\nfn", b"use std::fs;"),
    ],
)
def test_first_complete_construct_is_found(language: str, prompt: bytes, generated: bytes, construct: bytes) -> None:
    assert _first_construct(language, prompt, generated) == construct


@pytest.mark.parametrize(
    ("language", "prompt", "generated"),
    [
        ("C", b"int main", b""),
        ("C", b"int main", b"(void) { return 0;"),
        ("C", b"int main", b"(void) { return ) 0; }\nint g(void) { return 1; }"),
        ("C", b"struct", b" a { int b; }"),
        ("C", b"int x;\n", b"/* only a comment */\n"),
        ("Python", b"def ", b"f(a, b"),
        ("Python", b"class ", b"Name(Base"),
        ("Python", b"def ", b"f():\n    x = g(1,\n"),
        # The tree is one ERROR node with the parts of the function, whose name alone would be a valid expression.
        ("Python", b"def ", b"f():\n    g = h()\n    g.add([(1, 2), (3, 4), ("),
    ],
)
def test_unfinished_or_erroneous_first_construct_is_not_complete(
    language: str, prompt: bytes, generated: bytes
) -> None:
    assert _first_construct(language, prompt, generated) is None
