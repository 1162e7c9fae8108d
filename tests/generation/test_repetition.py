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


INCLUDES = b"#include <a/b.h>\n#include <c/d.h>\n#include <a/b.h>\n#include <e/f.h>\n#include <a/b.h>\n"


def test_an_equal_line_nearby_may_occur_twice_unless_the_repository_repeats_it() -> None:
    assert offset(b"", INCLUDES) == INCLUDES.rfind(b"#include <a/b.h>")
    assert offset(b"", INCLUDES, b"x\n" + INCLUDES) is None
    assert offset(b"", INCLUDES[: INCLUDES.rfind(b"#")]) is None, "twice"
    assert offset(INCLUDES[: INCLUDES.rfind(b"#")], b"#include <a/b.h>\n") is None, "the file's own habit"
    assert offset(b"", INCLUDES.replace(b"#include <", b"f(").replace(b".h>", b")")) is None, "short lines are common"
    far = b"".join(b"int x%d;\n" % number for number in range(20))
    assert offset(b"", INCLUDES.replace(b"<e/f.h>\n", b"<e/f.h>\n" + far)) is None, "far away"


@pytest.mark.parametrize(("repository", "kept"), [(b"", 2), (b"(0.0, 0.0, 0.0)", 2), (b"(0.0, 0.0, 0.0, 0.0, 0)", 4)])
def test_parts_of_a_line_are_repeated_as_often_as_in_the_repository(repository: bytes, kept: int) -> None:
    line = b"x = vec(" + b"0.0, " * 12 + b")"
    assert offset(b"", line, repository) == len(b"x = vec(") + kept * len(b"0.0, ")
