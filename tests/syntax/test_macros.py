"""Semicolons after statement macros of C are added only where they reduce the errors."""

import pytest

from cllm.syntax.error_count import count_errors
from cllm.syntax.macros import terminate_macros

FUNCTION = b"int f(int x) {\n  FIND_VARIABLES\n\n  lock(&mutex);\n  SWAP(a, f(b))\n  return 0;\n}\n"


def test_statement_macros_are_terminated() -> None:
    offset = FUNCTION.index(b"lock") + 3
    before, after = terminate_macros("C", FUNCTION[:offset], FUNCTION[offset:])
    assert before == FUNCTION[:offset].replace(b"VARIABLES", b"VARIABLES;")
    assert after == FUNCTION[offset:].replace(b"f(b))", b"f(b));")
    assert count_errors("C", FUNCTION) > 0 == count_errors("C", before + after)


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
def test_text_is_unchanged_unless_errors_decrease(text: bytes) -> None:
    for offset in range(len(text) + 1):
        before, after = terminate_macros("C", text[:offset], text[offset:])
        assert (before, after) == (text[:offset], text[offset:]) or count_errors("C", before + after) < count_errors(
            "C", text
        )
    assert terminate_macros("C", text, b"") == (text, b"")


def test_other_languages_are_unchanged() -> None:
    assert terminate_macros("Python", FUNCTION, b"") == (FUNCTION, b"")
