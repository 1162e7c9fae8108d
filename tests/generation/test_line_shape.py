"""The shapes of lines, and what a guide knows of the shape of a missing one."""

import pytest

from cllm.generation.guide.file_context import FileContext
from cllm.generation.guide.guide import Guide
from cllm.generation.guide.line_shape import PLAIN, LineShape, leads_to, shape_of
from cllm.syntax.time_budget import TimeBudget


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", PLAIN),
        (b"x = f(a[0]);", PLAIN),
        (b"if (x) {", LineShape(1, 0, 0, 0)),
        (b"} else {", PLAIN),
        (b"});", LineShape(-1, -1, 0, 0)),
        (b"call(function () {", LineShape(1, 1, 0, 0)),
        (b"x = [  ", LineShape(0, 0, 1, 0)),
        (b"if x:", LineShape(0, 0, 0, 1)),
        (b"if x:  # always", LineShape(0, 0, 0, 1)),
        (b"with x:\n    if y:\n        z = {1: 2}\n", LineShape(0, 0, 0, 2)),
    ],
)
def test_shape_of_lines(text: bytes, expected: LineShape) -> None:
    assert shape_of(text) == expected


def test_what_opens_something() -> None:
    assert all(shape_of(text).opens_something for text in (b"if (x) {", b"f(", b"x = [", b"else:", b"}, {\n x({"))
    assert not any(shape_of(text).opens_something for text in (b"", b"x;", b"} else {", b"});", b"{ 1: 2 }"))


def test_what_leads_to_a_shape() -> None:
    needed = shape_of(b"call({")
    assert leads_to(b" {", needed) and leads_to(b"({\n", needed) and leads_to(b"(", needed)
    assert not leads_to(b"()", needed) and not leads_to(b"name", needed) and not leads_to(b"})", needed)
    assert leads_to(b"});\n", shape_of(b"});")) and not leads_to(b"x", PLAIN)


@pytest.mark.parametrize(
    ("language", "before", "after", "right", "wrong"),
    [
        ("C", b"int f(int x) {\n  ", b"\n    g(x);\n  }\n  return 0;\n}\n", b"if (x) {", b"x = 1;"),
        ("JavaScript", b"function f() {\n  ", b"\n    code: 1,\n  });\n}\n", b"add(ctx, {", b"if (x) {"),
        ("JavaScript", b"it(() => {\n  f();\n", b"\nit(() => {\n  g();\n});\n", b"});", b"}"),
        ("Python", b"def f():\n    x = ", b"\n        1,\n    ]\n    return x\n", b"[", b"("),
    ],
)
def test_brackets_that_cannot_fit_are_known_without_parsing(
    language: str, before: bytes, after: bytes, right: bytes, wrong: bytes
) -> None:
    guide = Guide(language, before, after).prepared()
    assert guide.is_misshapen(wrong) and not guide.is_misshapen(right)
    assert guide.parses(right) and not guide.parses(wrong), "as parsing the file says"


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("C", b"if (c == '{') {"),
        ("C", b"if (c == '(') {"),
        ("JavaScript", b"if (/\\(/.test(s)) {"),
        ("JavaScript", b'if (s == "}{") {'),
    ],
)
def test_brackets_in_strings_do_not_make_a_line_misshapen(language: str, line: bytes) -> None:
    before, after = b"function f(s) {\n  ", b"\n    g(s);\n  }\n  return 0;\n}\n"
    if language == "C":
        before = b"int f(int s) {\n  "
    guide = Guide(language, before, after).prepared()
    assert guide.needed_shape() == shape_of(b"{") and not guide.is_misshapen(line) and guide.is_misshapen(b"g(s);")


@pytest.mark.parametrize(
    ("language", "before", "line", "after", "fits"),
    [
        ("TypeScript", b"  ", b"): Effects<this>;", b"\n    const x = 1;\n", False),
        ("TypeScript", b"  ", b"): Effects<this> {", b"\n    const x = 1;\n", True),
        ("TypeScript", b"  ", b"return fetch(x)", b"\n    .then(f);\n", True),
        ("TypeScript", b"  ", b"x();", b"\n    \n  y();\n", True),
        ("C", b"  ", b"if (x)", b"\n    y();\n", True),
        ("Shell", b"", b"if true; then", b"\n  x\nfi\n", True),
    ],
)
def test_a_file_that_takes_too_long_is_judged_by_its_indentation(
    language: str, before: bytes, line: bytes, after: bytes, fits: bool
) -> None:
    context = FileContext(language, before, after, budget=TimeBudget(0.0))
    assert context.errors_with(line) is None and context.fits(line) is fits


def test_nothing_is_misshapen_where_no_line_is_known_to_be_needed() -> None:
    assert not Guide("C", b"int x;\n", b"\nint y;\n").prepared().is_misshapen(b"int f(int x) {")
    assert not Guide("C", b"int x;\n").prepared().is_misshapen(b"int f(int x) {"), "no suffix"
    assert not Guide("C", b"#define F(x) \\\n  ", b"\n    g(x);\n  }\n").prepared().is_misshapen(b"g(x)"), "a macro"


ERROR = b"\nint x y z;\n"  # of the file, which no line removes


@pytest.mark.parametrize(
    ("line", "fits"),
    [(b"if (x) {", True), (b"while (x) {", True), (b"x = 1;", False), (b"if (x)", False), (b"g(x);", False)],
)
def test_in_a_file_with_other_errors_a_line_before_a_deeper_one_opens_a_block(line: bytes, fits: bool) -> None:
    before, after = b"int f(int x) {\n  ", b"\n    g(x);\n  }\n  return 0;\n}\n" + ERROR
    assert Guide("C", before, after).parses(line) is fits
