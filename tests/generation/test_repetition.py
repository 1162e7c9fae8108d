"""Needless repetitions: of lines, of several lines, of parts of a line, and of the line above the cursor."""

import pytest

from cllm.generation.guide.repetition import Repetition


def offset(prefix: bytes, generated: bytes, repository: bytes = b"") -> int | None:
    return Repetition(prefix, repository.__contains__).offset(generated)


@pytest.mark.parametrize(
    ("prefix", "generated", "repeated"),
    [
        (b"", b"a();\nb();\nb();\n", b"b();\n"),
        (b"", b"a();\nb();\na();\nb();\n", b"a();\nb();\n"),
        (b"", b"a();\nb();\na();\nb();", b"a();\nb();"),
        (b"x\n  a();\n  ", b"a();\n", b"a();\n"),
        (b"x\n  a();\n", b"  a();", b"  a();"),
        (b"x\n  a();\n", b"    a();\n", b"a();\n"),
        (b"a();\n\n", b"a();\n", b"a();\n"),
        (b"f(\n  *,\n", b"  *,\n", b"*,\n"),
        (b"x\n  a();\n  y", b"\n  b();\n  b();", b"  b();"),
        (b"int f(", b"int a, int a, int a, int a)", b"int a, int a)"),
    ],
)
def test_the_offset_of_the_last_repeated_part(prefix: bytes, generated: bytes, repeated: bytes) -> None:
    found = offset(prefix, generated)
    assert found is not None
    assert generated[found:].strip() in repeated.strip() or repeated.strip().startswith(generated[found:].strip())
    assert not generated[:found].rstrip().endswith(b"b();\n  b();")


@pytest.mark.parametrize(
    ("prefix", "generated"),
    [
        (b"", b"a();\nb();\na();\n"),
        (b"x\n  a();\n  ", b"b();\n"),
        (b"", b"}\n}\n}\n"),
        (b"", b"\n\n\n"),
        (b"a\nb\na\n", b"b\n"),
        (b"", b"f(1, 2, 3, 4, 5, 6)"),
        (b"", b""),
    ],
)
def test_no_repetition(prefix: bytes, generated: bytes) -> None:
    assert offset(prefix, generated) is None


def test_what_the_repository_repeats_may_be_repeated_as_often() -> None:
    twice = b"#\n# a\n# a\n#\n"
    assert offset(b"", b"# a\n# a\n", twice) is None
    assert offset(b"", b"# a\n# a\n# a\n", twice) == 8
    assert offset(b"# a\n", b"# a\n# a\n", twice) == 4


PARTS = [b"#include <sys/%b.h>\n" % name for name in (b"types", b"wait", b"stat", b"socket", b"types")]
INCLUDES = b"".join(PARTS[0] + part for part in PARTS[1:4]) + PARTS[0]  # four equal lines, without a period


def test_an_equal_line_nearby_may_occur_thrice_unless_the_repository_repeats_it() -> None:
    last = INCLUDES.rfind(PARTS[0])
    assert offset(b"", INCLUDES) == last
    assert offset(b"", INCLUDES, b"x\n" + INCLUDES) is None
    assert offset(b"", INCLUDES[:last]) is None, "thrice"
    assert offset(INCLUDES[:last], PARTS[0]) is None, "the file's own habit"
    assert offset(b"", INCLUDES.replace(b"#include <sys/", b"f(")) is None, "short lines are common"
    far = b"".join(b"int x%d;\n" % number for number in range(20))
    assert offset(b"", INCLUDES[:last] + far + PARTS[0]) is None, "far away"


def test_guard_clauses_are_no_repetition() -> None:
    guards = b"".join(b"    if not %b:\n        return False\n" % name for name in (b"a", b"b", b"c", b"d", b"e"))
    assert all(offset(b"", guards[: place + 1]) is None for place in range(len(guards)) if guards[place] == ord("\n"))


@pytest.mark.parametrize("line", [b"# " + b"-" * 70, b"#" * 79, b"============", b"| ---- | ---- | ---- | ---- |"])
def test_rules_and_tables_are_no_repetition(line: bytes) -> None:
    assert offset(b"", line) is None


def test_a_long_line_takes_linear_time() -> None:
    """A pattern that begins with any byte would take an hour for the blanks."""
    assert all(offset(b"", part * 1_000_000) is None for part in (b" ", b"-"))


@pytest.mark.parametrize(("repository", "kept"), [(b"", 2), (b"(0.0, 0.0, 0.0)", 2), (b"(0.0, 0.0, 0.0, 0.0, 0)", 4)])
def test_parts_of_a_line_are_repeated_as_often_as_in_the_repository(repository: bytes, kept: int) -> None:
    line = b"x = vec(" + b"0.0, " * 12 + b")"
    assert offset(b"", line, repository) == len(b"x = vec(") + kept * len(b"0.0, ")
