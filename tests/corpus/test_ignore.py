"""Patterns of a single .gitignore; `test_walk.py` compares whole trees with git."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus.ignore import Rules


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        (b"*.o", b"a/b/c.o", True),
        (b"/*.o", b"a/c.o", False),
        (b"a/b", b"x/a/b", False),
        (b"**/a/b", b"x/y/a/b", True),
        (b"a/**/b", b"a/b", True),
        (b"a/**/b", b"a/x/y/b", True),
        (b"a/**", b"a", False),
        (b"a/**", b"a/x", True),
        (b"a/*", b"a/x/y", False),
        (b"foo**/bar", b"foobar", True),  # git compares the literal prefix bytewise
        (b"[a-c]x", b"bx", True),
        (b"[!a-c]x", b"bx", False),
        (b"[^a-c]x", b"dx", True),
        (b"[]x]y", b"]y", True),
        (b"[z-a]", b"z", True),
        (b"[z-a]", b"a", False),
        (b"[[:digit:]]", b"7", True),
        (b"[[:nothing:]]", b"7", False),
        (b"[a", b"[a", False),
        (b"a[/]b", b"a/b", False),
        (b"foo\\", b"foo", False),
        (b"\\!x", b"!x", True),
        (b"\\#x", b"#x", True),
        (b"x\\ ", b"x ", True),
        (b"x  ", b"x", True),
        (b"x\t", b"x", False),
        (b"#x", b"#x", False),
        (b"/", b"x", False),
        (b"\xe9", b"\xe9", True),
        (b"?", "é".encode(), False),  # one byte
        (b"\xef\xbb\xbfx", b"x", True),
    ],
)
def test_pattern_matches_as_in_git(pattern: bytes, path: bytes, ignored: bool) -> None:
    assert bool(Rules(pattern).verdict(path, False)) is ignored


def test_last_matching_line_decides() -> None:
    rules = Rules(b"*.log\r\n!keep.log\r\nbuild/\r\n")
    assert rules.verdict(b"a.log", False) is True
    assert rules.verdict(b"keep.log", False) is False
    assert rules.verdict(b"a.c", False) is None
    assert rules.verdict(b"build", True) is True
    assert rules.verdict(b"build", False) is None


def test_pattern_with_many_stars_is_fast() -> None:
    rules = Rules(b"*a*a*a*a*a*a*a*a*a*b\n" + b"**/a/" * 40 + b"b")
    began = time.perf_counter()
    assert rules.verdict(b"a" * 255, False) is None
    assert rules.verdict(b"a/" * 1000 + b"c", False) is None
    assert time.perf_counter() - began < 1


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=20))
def test_any_bytes_are_accepted_as_patterns(content: bytes, path: bytes) -> None:
    assert Rules(content).verdict(path, False) in (True, False, None)
