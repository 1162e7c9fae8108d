"""What is replaced in which file, and what `keep` takes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from secrets_for_tests import TOKENS, pem, random_string

from cllm.corpus.redactions import Keep, Redaction, redact_file
from cllm.errors import UsageError

TOKEN = TOKENS["GitHub token"][0]
TEXT = f'import os\nPASSWORD = "{random_string(20)}"\ntoken = "{TOKEN}"\n{pem()}'.encode()
ALL = [
    Redaction("a/b.py", line, kind) for line, kind in ((2, "assigned secret"), (3, "GitHub token"), (5, "private key"))
]


def test_redactions_have_file_line_and_kind() -> None:
    clean, redactions = redact_file("a/b.py", TEXT, Keep(()))
    assert redactions == ALL and TOKEN.encode() not in clean


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ("a/b.py", {2, 3, 5}),
        ("a/*", {2, 3, 5}),
        ("*:GitHub token", {3}),
        ("a/b.py:2", {2}),
        ("a/b.py:private key", {5}),
        ("a/b.py:1", set()),
        ("b.py", set()),
        ("a/b.py:no such kind", set()),  # a file of this name
    ],
)
def test_entry_of_keep_takes_replacements_back(entry: str, kept: set[int]) -> None:
    keep = Keep([entry])
    clean, redactions = redact_file("a/b.py", TEXT, keep)
    assert redactions == [each for each in ALL if each.line not in kept]
    lines = list(zip(clean.split(b"\n"), TEXT.split(b"\n"), strict=True))
    assert {each.line for each in ALL if lines[each.line - 1][0] == lines[each.line - 1][1]} == kept
    assert keep.unused() == ([] if kept else [entry])


@pytest.mark.parametrize("entry", ["", ":3", ":GitHub token"])
def test_entry_without_a_file_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match="names no file"):
        Keep([entry])


@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_any_entry_is_used_or_reported(path: str, entry: str) -> None:
    try:
        keep = Keep([entry])
    except UsageError:
        return
    used = keep.matches(Redaction(path, 1, "private key"))
    assert keep.unused() == ([] if used else [entry])
