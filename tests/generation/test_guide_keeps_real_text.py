"""The guide lets real text through, though the grammar may not parse it, and repairs no text into another meaning.

`|` is the cursor. The reports behind the examples are public ones of editors and grammars.
"""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.generation import Prompt
from cllm.generation.guide.guide import Guide, has_common_sign
from cllm.syntax.time_budget import TimeBudget

CASE_RANGE = (
    "int digit(int c)\n{\n    switch (c) {\n    case '0' ... |\n        return c - '0';\n    }\n    return -1;\n}\n"
)
NEXT_CASE = CASE_RANGE.replace("|", "").replace("    }\n", "    |\n        return c - 'a';\n    }\n", 1)
CONDITIONAL = "void f(int i)\n{\n  if (i > 10) {\n    big();\n  }\n#ifdef MORE\n  |\n    small();\n  }\n#endif\n}\n"
VALUE = "int g(void)\n{\n    int x =\n#ifdef ONE\n    |\n#else\n        2\n#endif\n        ;\n    return x;\n}\n"
LOOP_HEAD = (
    "#define each(p, head) for ((p) = (head); (p); (p) = (p)->next)\n\nint count(struct item *head)\n{\n"
    "    struct item *p;\n    int n = 0;\n\n    |\n        n += p->size;\n    }\n    return n;\n}\n"
)
PANEL = "class Panel : public QObject {\n    Q_OBJECT\n public slots:\n    |\n signals:\n    void moved(int);\n};\n"
BOX = "struct Box {\n    |\n};\n"
CONSTEVAL = "constexpr int f() {\n    |\n        return 1;\n    }\n    return 2;\n}\n"
WIDGET = "#include <string>\n\nnamespace app {\n\nclass Widget {\n public:\n  explicit Widget(int n);\n  |\n};\n\n}\n"
MACRO_BODY = "#define LOOP(x) \\\n    if (x) { /* a */ \\\n    |\n#endif\nint y;\n"

# File, its text, and what is right at the cursor.
REAL = [
    # Inside quotes that the editor has closed (aws-toolkit-vscode#3873)
    ("view.py", '@app.route("/")\ndef index():\n    return render("|")\n', "index.html"),
    ("view.py", 'def level(app):\n    return app.config["|"]\n', "DEBUG"),
    ("view.py", "def level(app):\n    return app.config['|']\n", "DEBUG"),
    ("main.c", '#include "|"\n\nint main(void)\n{\n    return 0;\n}\n', "uv.h"),
    ("main.c", 'int main(void)\n{\n    puts("hello |");\n    return 0;\n}\n', "world"),
    ("a.cpp", 'int main()\n{\n    puts("|");\n}\n', "world"),
    ("a.js", 'const fs = require("|");\n', "fs"),
    ("a.ts", "const fs = require('|');\n", "fs"),
    ("a.go", 'package a\n\nimport "|"\n', "fmt"),
    ("a.json", '{"name": "|"}\n', "a"),
    ("a.rs", 'fn f() { g("|"); }\n', "a b"),
    # Inside a line, with its rest on the right
    ("a.c", "int f(void)\n{\n  g(|, 2);\n}\n", "x"),
    ("a.c", "int f(void)\n{\n  re|urn 0;\n}\n", "t"),
    ("a.py", "x = [1, |, 3]\n", "2"),
    # Scripts without an extension, C++ in headers
    ("tool", "#!/usr/bin/env python3\nimport sys\n\ndef main(argv):\n    |\n", "return 0"),
    ("hook", '#!/bin/sh\nif [ -n "$1" ]; then\n    |\nfi\n', "exit 0"),
    ("widget.h", WIDGET, "virtual void f() = 0;"),
    ("widget.h", WIDGET, "std::string name() const;"),
    ("widget.h", WIDGET, "template <typename T> void g(T t);"),
    ("plain.h", "struct plain {\n    int class;\n    |\n};\n", "int other;"),
    # What the grammars cannot parse (tree-sitter-c#328, #70, #266, tree-sitter-cpp#308, cxxheaderparser#120)
    ("digit.c", CASE_RANGE, "'9':"),
    ("digit.c", NEXT_CASE, "case 'a' ... 'f':"),
    ("chance.c", CONDITIONAL, "else {"),
    ("value.c", VALUE, "    1"),
    ("list.c", LOOP_HEAD, "each(p, head) {"),
    ("panel.cpp", PANEL, "void open();"),
    ("modern.cpp", BOX, "void f(this Box& self);"),
    ("modern.cpp", BOX, "int bits : 3 = 1;"),
    ("modern.cpp", CONSTEVAL, "if consteval {"),
    ("registry.h", MACRO_BODY, "        } } else { \\"),
    # What was always right
    ("f.py", 'def f(d, w):\n    s = f"{d[|]}"\n    return s\n', '"key"'),
    ("f.py", "match d:\n    |\n        pass\n", 'case {"op": "add", "args": [a, *rest]} if a:'),
    ("r.js", "const m = s.match(|);\n", "/[/\"']+/g"),
    ("r.js", "const half = total / |;\n", "n / 2"),
    ("r.js", "const t = `a ${x ? `b ${y}` : |} c`;\n", '""'),
    ("v.tsx", "const id = |(x: T) => x;\n", "<T,>"),
    ("v.tsx", "export const V = () => (\n  <div>\n    |\n  </div>\n);\n", "It's {n} o'clock"),
    ("q.go", "package q\n\nvar query = `\n|\n`\n", 'SELECT "x" FROM {t'),
    ("help.sh", "usage() {\n  cat <<EOF\nUsage: $0 [-h]\n|\nEOF\n}\n", "  -n NAME   the user's name"),
    ("knr.c", "int old(a, b)\n    int a;\n    char *b;\n{\n    return |\n}\n", "a + *b;"),
]


def guide_at(path: str, text: str) -> Guide:
    prefix, suffix = (part.encode() for part in text.split("|"))
    language = Prompt(prefix=prefix, suffix=suffix, path=path).language
    assert language is not None
    return Guide(language, prefix, suffix).prepared()


@pytest.mark.parametrize(("path", "text", "real"), REAL)
def test_real_text_is_let_through_and_not_repaired_into_another(path: str, text: str, real: str) -> None:
    guide = guide_at(path, text)
    assert guide.error_offset(real.encode(), is_line=True) is None
    assert guide.fits(real.encode())
    assert guide.repaired(real.encode()) in (None, real.encode())


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("a.c", "int f(void)\n{\n  |\n}\n", "g(x;"),
        ("a.c", "int f(void)\n{\n  |\n}\n", "g(x));"),
        ("a.c", "int f(void)\n{\n  |\n}\n", 'g("x);'),
        ("a.c", "int f(void)\n{\n  g(|);\n}\n", "x);"),
        ("a.c", 'int f(void)\n{\n  puts("|");\n}\n', 'x");'),
        ("a.py", "x = [1, |]\n", "2]"),
        ("modern.cpp", BOX, "void f(this Box& self;"),
    ],
)
def test_brackets_and_quotes_without_a_counterpart_are_refused(path: str, text: str, wrong: str) -> None:
    guide = guide_at(path, text)
    assert guide.error_offset(wrong.encode(), is_line=True) is not None or not guide.fits(wrong.encode())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.js", "f({\n  a: function () {\n    g();\n  |\n\n  b: 1\n});\n"),
        ("a.go", "package a\n\nvar x = []T{\n\tT{\n\t\ta: 1,\n\t|\n\tT{b: 1},\n}\n"),
    ],
)
def test_the_last_line_of_a_member_needs_its_comma(path: str, text: str) -> None:
    guide = guide_at(path, text)
    assert guide.parses(b"},") and not guide.parses(b"}")


@pytest.mark.parametrize(
    ("path", "before", "after", "right", "wrong"),
    [
        ("a.c", "void f(void) {\n  g(a,\n    ", "\n\n  h();\n}\n", "b);", "b,"),
        ("a.c", "void f(void) {\n  ", "\n      x > 1) {\n    g();\n  }\n}\n", "while (a &&", "/* Done. */"),
        ("a.c", "void f(void) {\n  ", "\n      i++) {\n    g();\n  }\n}\n", "for (i = 0; i < n;", "/* Done. */"),
        ("a.ts", "interface A<T extends B = C>\n  extends D<T>", "\n    E<T> {\n  x: T;\n}\n", ",", " {"),
        ("a.rs", "fn f(\n    a: u8,\n", "\n    a\n}\n", ") -> u8 {", "    b: u8,"),
        ("a.ts", "function f(\n  a: A,\n", "\n  return a;\n}\n", "): A {", "  b: B,"),
        ("a.js", "function f(a) {\n  return a ?\n    ", "\n    g(a) && b;\n}\n", "h(a) :", "h(a);"),
        ("a.ts", "function f<A, ", "\n  x: A,\n): void {}\n", "B>(", "B> {"),
    ],
)
def test_a_line_that_a_construct_needs_is_told_from_one_that_leaves_an_error(
    path: str, before: str, after: str, right: str, wrong: str
) -> None:
    guide = guide_at(path, before + "|" + after)
    assert guide.parses(right.encode()) and not guide.parses(wrong.encode())


def test_what_the_grammar_cannot_parse_is_tolerated_where_it_is_no_judge() -> None:
    guide = guide_at("modern.cpp", BOX)
    assert guide.syntax_error_offset(b"int x;", is_line=True) is None and guide.parses(b"int x;")
    assert guide.syntax_error_offset(b"void f(this Box& self);", is_line=True) is not None or not guide.parses(
        b"void f(this Box& self);"
    )
    assert not guide.tolerates(b"void f(this Box& self);"), "the text around it parses"
    assert guide_at("panel.cpp", PANEL).tolerates(b"void open();")
    assert not guide_at("panel.cpp", PANEL).tolerates(b"void open(;")


def test_the_grammar_is_a_judge_of_a_line_without_which_the_file_parses() -> None:
    guide = guide_at("a.c", "int a;\nint b c|\nint d;\n")
    assert not guide.tolerates(b" e"), "the text before the cursor does not parse, but another line would"
    assert guide_at("a.c", "int a;\nint b c;\nint e |\nint d;\n").tolerates(b"f"), "no line mends the one before"


@given(st.text(alphabet="ab(){}[];,'\" :\n=", max_size=30))
def test_a_repair_is_a_beginning_with_closers_that_were_not_cut_off(generated: str) -> None:
    text = generated.encode()
    for prefix, suffix in ((b"int f(void)\n{\n  ", b"\n}\n"), (b"int x = g(", b"")):
        repaired = Guide("C", prefix, suffix).repaired(text)
        if repaired is not None:
            length = next(size for size in range(len(repaired), -1, -1) if text.startswith(repaired[:size]))
            kept = max(size for size in range(length + 1) if set(repaired[size:]) <= set(b"()[]{}\"'`/*;,: \n"))
            assert repaired[:kept] == text[:kept]
            assert not set(b"()[]{}").intersection(repaired[length:]).intersection(text[length:].rstrip(b" ,\n"))


@pytest.mark.parametrize(
    ("closer", "rest", "expected"), [(b")", b", b) {", True), (b";", b", b", False), (b"", b"x", False)]
)
def test_common_signs(closer: bytes, rest: bytes, expected: bool) -> None:
    assert has_common_sign(closer, rest) == expected


RANDOM = random.Random(0).randbytes(200_000)
LARGE = {
    "random bytes": ("C", RANDOM[:100_000], RANDOM[100_000:]),
    "brackets": ("C", b"(" * 50_000, b")" * 50_000),
    "open brackets": ("Python", b"[" * 100_000, b""),
    "one line": ("JavaScript", b"a=1;" * 650_000, b"b=2;" * 650_000),
    "redirections": ("Shell", b"<" * 20_000, b"\n"),
    "macros": ("C++", b"FOO(x) BAR {\n if (x) BAZ y;\n}\n" * 3_000, b"FOO(x) BAR {\n if (x) BAZ y;\n}\n" * 3_000),
}


@pytest.mark.parametrize("name", LARGE)
def test_checks_of_large_and_broken_files_are_bounded(name: str) -> None:
    """By a clock of 1 ms a question, of which a parser asks one every 100 steps, every check ends within its limit."""
    questions = 0

    def clock() -> float:
        nonlocal questions
        questions += 1
        return questions / 1000

    language, prefix, suffix = LARGE[name]
    guide = Guide(language, prefix, suffix, budget=TimeBudget(clock=clock)).prepared()
    checks = [
        lambda: guide.error_offset(b"x = 1;", is_line=True),
        lambda: guide.fits(b"x = 1;"),
        lambda: guide.repaired(b"x = (1;"),
        lambda: guide.closed_block(b"x = 1;\ny = 2;\n"),
    ]
    for check in checks:
        before = questions
        check()
        assert questions - before < 400


def test_the_end_of_a_long_function_of_shell_is_kept() -> None:
    """Where its `{` is missing, the `}` below is a command without errors, and far away."""
    body = b"\n  if [ -z $a ]; then\n    b c\n  fi" * 200
    guide = Guide("Shell", b"a=1\nf() ", body + b"\n}\ng() {\n  d\n}\n")
    assert guide.fits(b"{") and guide.fits(b"{\n  if a; then\n    b\n  fi")
    assert guide.error_offset(b"{", is_line=True) is None
