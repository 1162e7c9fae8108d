"""Which secrets of which files are replaced, and which of them `[corpus] keep` takes back.

An entry of `keep` is `PATH`, `PATH:LINE` or `PATH:KIND`, where PATH is a file relative to the repository, in which `*`
stands for any text, LINE is counted from 1, and KIND is a kind as `cllm info --redactions` prints it.
"""

import fnmatch
from collections.abc import Iterable
from typing import NamedTuple

from cllm.corpus.redact import KINDS, find_secrets, overwrite
from cllm.errors import UsageError


class Redaction(NamedTuple):
    """A secret that was replaced: its file, its first line counted from 1, and its kind; never the secret."""

    path: str
    line: int
    kind: str


class _Entry(NamedTuple):
    """An entry of `keep`; a line or kind of None stands for all."""

    text: str
    path: str
    line: int | None
    kind: str | None

    def matches(self, redaction: Redaction) -> bool:
        """Whether the entry takes this replacement back."""
        return (
            self.line in (None, redaction.line)
            and self.kind in (None, redaction.kind)
            and fnmatch.fnmatchcase(redaction.path, self.path)
        )


class Keep:
    """The entries of `[corpus] keep`; UsageError if one is empty or has no path."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = [_parse(entry) for entry in entries]
        self._used: set[str] = set()

    def matches(self, redaction: Redaction) -> bool:
        """Whether an entry takes this replacement back; the entry then counts as used."""
        used = {entry.text for entry in self._entries if entry.matches(redaction)}
        self._used |= used
        return bool(used)

    def unused(self) -> list[str]:
        """Entries that have matched nothing."""
        return [entry.text for entry in self._entries if entry.text not in self._used]


def redact_file(path: str, content: bytes, keep: Keep) -> tuple[bytes, list[Redaction]]:
    """The text of a file with its secrets overwritten but for those of `keep`, of the same length and lines."""
    done: list[Redaction] = []
    while True:
        found = [
            (secret, Redaction(path, _line(content, secret.start), secret.kind)) for secret in find_secrets(content)
        ]
        replaced = [(secret, redaction) for secret, redaction in found if not keep.matches(redaction)]
        if not replaced:
            return content, sorted(done)
        content = overwrite(content, [secret for secret, _ in replaced])
        done += [redaction for _, redaction in replaced]


def _line(content: bytes, at: int) -> int:
    """Line of a byte, counted from 1; a key begins on the line behind its head."""
    while content[at : at + 1] in (b"\r", b"\n"):
        at += 1
    return content.count(b"\n", 0, at) + 1


def _parse(entry: str) -> _Entry:
    path, colon, last = entry.rpartition(":")
    if colon and last.isdecimal():
        found = _Entry(entry, path, int(last), None)
    elif colon and last in KINDS:
        found = _Entry(entry, path, None, last)
    else:
        found = _Entry(entry, entry, None, None)
    if not found.path:
        raise UsageError(f"keep has {entry!r}, which names no file; write PATH, PATH:LINE or PATH:KIND")
    return found
