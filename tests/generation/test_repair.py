"""Repairs of texts that were cut: what is open is closed as the file needs it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm.generation.guide.guide import Guide

pytestmark = pytest.mark.usefixtures("unlimited_time")

INSIDE = [
    ("Python", b'def f():\n    """A '),
    ("Python", b"x = 1  # see "),
    ("C", b'f("a '),
    ("C", b"int f() { /* a "),
    ("JavaScript", b"x = `a ${b} "),
    ("TSX", b"x = <p>a "),
    ("Go", b"x := `a "),
    ("Rust", b"fn f() { x = 'a'; // b "),
    ("Shell", b'echo "a '),
    ("JSON", b'{"a": "b '),
]
OUTSIDE = [("Python", b"x = f(1, "), ("JavaScript", b"x = `a ${b"), ("C", b"int f() { /* a */ "), ("Rust", b"let x = ")]


@pytest.mark.parametrize(
    ("language", "before", "after", "text", "expected"),
    [
        ("Python", b"x = [n for n in f(t) if t.degree", b"\n\ny = 1\n", b"(v) == 1:", b"(v) == 1]"),
        ("Python", b"if f(\n    a.get(arg_n", b"\n):\n    pass\n", b"ame[4:]))", b"ame[4:])"),
        ("Python", b"x = f.tree", b"\n    a, b\n)\n", b"_of(g, [(1, 2), (4, ", b"_of(g, [(1, 2), (4,)],"),
        ("Python", b'f("a ', b"\ny = 1\n", b"b)", b'b)")'),
        ("C", b"void f(int a) {\n  if (g(", b"\n    h(a);\n}\n", b"a) ==", b"a))"),
    ],
)
def test_a_cut_text_is_closed_as_the_file_needs_it(
    language: str, before: bytes, after: bytes, text: bytes, expected: bytes
) -> None:
    assert Guide(language, before, after).prepared().repaired(text) == expected


@given(st.text(alphabet="ab1 .,;:()[]=+*-", max_size=12), st.sampled_from([*INSIDE, *OUTSIDE]))
@settings(max_examples=100, deadline=None)
def test_a_text_without_quotes_is_inside_a_string_where_the_cursor_is(text: str, cursor: tuple[str, bytes]) -> None:
    """Wrong brackets in the text, from which the parser does not recover, change nothing."""
    assert Guide(*cursor).is_inside_string_or_comment(text.encode()) == (cursor in INSIDE)
