"""A secret's place in a text, and the placeholder that overwrites it."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_SHAPE = bytes.maketrans(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", b"x" * 26 + b"X" * 26 + b"0" * 10
)
# An escape such as `\n` or `%2F` is kept, so that the string around it still parses.
_ESCAPED_OR_PLAIN = re.compile(rb"\\[\s\S]|%[0-9A-Fa-f]{2}|[^\\%]+|%")


class Secret(NamedTuple):
    """Bytes `start` to `end` of a text, and the kind of secret, such as `GitHub token`."""

    start: int
    end: int
    kind: str


def placeholder(value: bytes) -> bytes:
    """`value` with its letters and digits replaced, of the same length; the placeholder of a placeholder is itself."""
    return b"".join(
        piece if len(piece) > 1 and piece[:1] in (b"\\", b"%") else piece.translate(_SHAPE)
        for piece in _ESCAPED_OR_PLAIN.findall(value)
    )


def overwrite(content: bytes, secrets: Iterable[Secret]) -> bytes:
    """The text with its secrets overwritten, of the same length; `secrets` are sorted and do not overlap."""
    pieces, at = [], 0
    for start, end, _ in secrets:
        pieces += [content[at:start], placeholder(content[start:end])]
        at = end
    return b"".join([*pieces, content[at:]]) if pieces else content


def merged(content: bytes, found: Iterable[Secret]) -> Iterator[Secret]:
    """Secrets in order, overlapping ones merged (the kind of the one found first), without those already overwritten.

    Of two secrets that begin at the same byte the kind of the earlier one in `found` counts.
    """
    current: Secret | None = None
    for secret in sorted(found, key=lambda secret: secret.start):
        if placeholder(content[secret.start : secret.end]) == content[secret.start : secret.end]:
            continue
        if current is not None and secret.start < current.end:
            current = current._replace(end=max(current.end, secret.end))
            continue
        if current is not None:
            yield current
        current = secret
    if current is not None:
        yield current
