"""Lines that are macros get an end where that makes a file right, and nowhere else."""

import pytest

from cllm.syntax.errors import errors
from cllm.syntax.macros import macros_ended

FUNCTION = b"int f(int x) {\n  FIND_VARIABLES\n\n  lock(&mutex);\n  SWAP(a, f(b))\n  return 0;\n}\n"


def test_each_macro_s_line_is_ended() -> None:
    place = FUNCTION.index(b"lock") + 3
    before, after = macros_ended("C", FUNCTION[:place], FUNCTION[place:])
    assert before == FUNCTION[:place].replace(b"VARIABLES", b"VARIABLES;")
    assert after == FUNCTION[place:].replace(b"f(b))", b"f(b));")
    assert errors("C", FUNCTION) > 0 == errors("C", before + after)


@pytest.mark.parametrize(
    "text",
    [
        b"int f(void) {\n  return a +\n  SIZE\n  ;\n}\n",
        b"enum e {\n  A,\n  LAST\n};\n",
        b"#define M(x) \\\n  OTHER(x) \\\n  more(x)\nint x;\n",
        b"#define M(x) f(x); \\\n  OTHER(x)\nint x;\n",
        b"int f;\nHANDLE\nrun(void) {\n}\n",
        b"int x;\n",
        b"",
    ],
)
def test_what_is_right_stays_as_it_is(text: bytes) -> None:
    for place in range(len(text) + 1):
        before, after = macros_ended("C", text[:place], text[place:])
        assert (before, after) == (text[:place], text[place:]) or errors("C", before + after) < errors("C", text)
    assert macros_ended("C", text, b"") == (text, b"")


def test_other_languages_have_none() -> None:
    assert macros_ended("Python", FUNCTION, b"") == (FUNCTION, b"")
