"""The brackets that are open at the end of a text."""

from cllm.syntax.open_brackets import open_brackets


def test_open_brackets_are_listed_outermost_first() -> None:
    assert open_brackets("C", b"#ifdef A\nint f() { g(x[1], y[") == ["#ifdef", "{", "(", "["]
    assert open_brackets("JavaScript", b"f(`a ${b") == ["(", "${"]
    assert open_brackets("C", b"int f() { if (x < 1) {} ") == ["{"]
