"""Brackets, quotes and comments within one line, in any language; a heuristic that needs no grammar."""

import re

BRACKETS = ((b"{", b"}"), (b"(", b")"), (b"[", b"]"))
CLOSER_OF = {b"(": b")", b"[": b"]", b"{": b"}", b'"': b'"', b"'": b"'", b"`": b"`", b"/*": b"*/"}
DELIMITER = re.compile(rb"\\.|/\*|\*/|[()\[\]{}\"'`]")
HOLDS_NO_BRACKETS = (b'"', b"'", b"`", b"/*")


def scan_delimiters(text: bytes) -> list[bytes]:
    """Return the brackets, quotes and comments that are open at the end of a part of a line, outermost first."""
    open_delimiters: list[bytes] = []
    for found in DELIMITER.finditer(text):
        track_delimiter(found[0], open_delimiters)
    return open_delimiters


def track_delimiter(delimiter: bytes, open_delimiters: list[bytes]) -> None:
    """Update the open delimiters by the next one of the text; a closer without its opener is ignored."""
    innermost = open_delimiters[-1] if open_delimiters else b""
    if CLOSER_OF.get(innermost) == delimiter:
        open_delimiters.pop()
    elif innermost not in HOLDS_NO_BRACKETS and delimiter in CLOSER_OF:
        open_delimiters.append(delimiter)


def num_closed(open_delimiters: list[bytes], text: bytes) -> int:
    """Return how many of the delimiters that are open before a text are closed in it."""
    still_open, fewest = list(open_delimiters), len(open_delimiters)
    for found in DELIMITER.finditer(text):
        track_delimiter(found[0], still_open)
        fewest = min(fewest, len(still_open))
    return len(open_delimiters) - fewest
