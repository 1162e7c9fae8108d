"""A condensed text: shorter, with the same lines around the cursor and the same errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.syntax.condense import KEPT_BYTES, condense
from cllm.syntax.error_count import count_errors

C = b"#include <a.h>\n" + b"".join(
    b"/* Number %d. */\nstatic int f%d(int x) {\n  if (x) {\n    g(x, %d);\n  }\n  return x;\n}\n\n" % (i, i, i)
    for i in range(120)
)
PYTHON = b"import a\n\n\nclass C:\n" + b"".join(
    b'    @a.b\n    def f%d(self, x):\n        """Do."""\n        if x:\n            return %d\n        return x\n\n'
    % (i, i)
    for i in range(120)
)
LONG_FUNCTION = b"int main(void) {\n" + b"  step(1);\n  if (a)\n    step(2);\n  else\n    step(3);\n" * 200 + b"}\n"
RUST = (
    b"mod m {\n"
    + b"    #[test]\n    fn f(x: u8) -> u8 {\n        match x {\n            _ => 1,\n        }\n    }\n\n" * 90
    + b"}\n"
)
GO = b"package a\n\n" + b"// F does.\nfunc F(x int) int {\n\tif x > 0 {\n\t\treturn 1\n\t}\n\treturn x\n}\n\n" * 90
SHELL = b"#!/bin/sh\n" + b"f() {\n  if a; then\n    b\n  else\n    c\n  fi\n}\n\nfor x in y; do\n  d\ndone\n" * 90
JAVASCRIPT = (
    b"export class C {\n" + b"  f(x) {\n    return x.map((y) => {\n      return y;\n    });\n  }\n\n" * 90 + b"}\n"
)
FILES = {"C": C, "Python": PYTHON, "Rust": RUST, "Go": GO, "Shell": SHELL, "JavaScript": JAVASCRIPT}


@pytest.mark.parametrize("language", FILES)
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.83, 1.0])
def test_a_valid_file_stays_valid_and_gets_short(language: str, share: float) -> None:
    text = FILES[language]
    cursor = int(share * len(text))
    before, after = condense(language, text[:cursor], text[cursor:])
    assert count_errors(language, before + after) == count_errors(language, text) == 0
    assert len(before) + len(after) < 2 * KEPT_BYTES + 1_200
    near = text[max(0, cursor - KEPT_BYTES // 2) : cursor], text[cursor : cursor + KEPT_BYTES // 2]
    assert before.endswith(near[0]) and after.startswith(near[1])


def test_a_function_that_is_being_written_keeps_its_head() -> None:
    cursor = len(LONG_FUNCTION) // 2
    before, _ = condense("C", LONG_FUNCTION[:cursor], b"")
    assert before.startswith(b"int main(void) {\n") and len(before) < KEPT_BYTES + 200
    assert before.count(b"{") == 1 + before.count(b"}")


def test_the_end_of_a_docstring_may_be_what_is_being_typed() -> None:
    head = b'    def f(self, x):\n        """Do\n        what is'
    before, after = condense("Python", PYTHON + head, b"\n        return x\n\n" + PYTHON.removeprefix(b"import a\n"))
    assert len(before) + len(after) < 2 * KEPT_BYTES + 1_200
    assert count_errors("Python", before + b' said."""' + after) == 0


def test_a_short_or_broken_text_stays_as_it_is() -> None:
    assert condense("C", C[:2000], C[2000:2100]) == (C[:2000], C[2000:2100])
    broken = b"int f( {{{ (((" * 600
    assert condense("C", broken, broken) == (broken, broken)


def test_a_far_item_that_the_grammar_does_not_know_is_left_out_if_it_has_all_its_brackets() -> None:
    unknown = b"interface A<out T extends B<T>> {\n  x: T;\n}\n\n"
    assert count_errors("TypeScript", unknown) > 0
    cursor = len(unknown) + len(JAVASCRIPT)
    before, after = condense("TypeScript", (unknown + JAVASCRIPT)[:cursor], JAVASCRIPT)
    assert count_errors("TypeScript", before + after) == 0 and len(before) + len(after) < 2 * KEPT_BYTES + 1_200
    broken = b"interface A {\n  x: f(;\n}\n\n"
    before, _ = condense("TypeScript", broken + JAVASCRIPT, JAVASCRIPT)
    assert before.startswith(broken), "its error may be the beginning of something"


@given(
    st.sampled_from(sorted(FILES)),
    st.integers(0, 9_000),
    st.integers(0, 300),
    st.sampled_from([b"", b"{", b'"', b"/*"]),
)
def test_a_line_that_is_being_typed_does_not_matter(language: str, begin: int, length: int, typed: bytes) -> None:
    text = FILES[language]
    begin = min(begin, len(text))
    end = text.find(b"\n", min(len(text), begin + length))
    left, right = text[:begin] + typed, text[end:]
    before, after = condense(language, left, right)
    assert count_errors(language, before + after) <= count_errors(language, left + right) + 1
    assert left.endswith(before[-100:]) and right.startswith(after[:100])
