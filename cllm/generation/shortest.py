"""A short way to the end of a text of a grammar: what is written where a text has become too long.

Byte by byte, on several ways at once (a beam search). Of equally long ways after which the same tokens may come, two
are gone on with, the first and the last. Some of the others differ all the same, in what is still open or to be
counted: so the way found need not be the shortest, and where much is to be counted there may be none. Once more with
another order of the bytes finds most of what is shorter.
"""

from cllm.generation.matcher import Matcher
from cllm.tokenizer import Tokenizer

MOST_FIRST, MOST_LAST = 12, 4  # ways that are gone on with
MOST_BYTES = 1024
# Some 10 us each: JSON's ends take 2 to 70 ms, those of 100 open brackets 1.2 s, and what has no end is given up after
# 1 to 2 s (one core, 2026-11-27).
MOST_TRIED = 1 << 16
QUOTES, BRACKETS, LAST = b"\"'`", b")]}>", b"([{< \t\r\n"
OTHERS = bytes(byte for byte in range(256) if byte not in QUOTES + BRACKETS + LAST)
# Quotes before brackets leave a string, brackets before quotes leave a list; what opens something, or is blank, leaves
# nothing.
ORDERS = (QUOTES + BRACKETS + OTHERS + LAST, BRACKETS + QUOTES + OTHERS + LAST)

Way = tuple[bytes, Matcher]


def shortest_end(matcher: Matcher, tokenizer: Tokenizer) -> bytes | None:
    """What ends a text that stands where the matcher does; None if nothing was found."""
    if matcher.can_end:
        return b""
    found: bytes | None = None
    for order in ORDERS:
        most = MOST_BYTES if found is None else len(found) - 1
        shorter = _end(matcher, [(bytes([byte]), tokenizer.id_of(bytes([byte]))) for byte in order], most)
        found = found if shorter is None else shorter
    return found


def _end(matcher: Matcher, tokens: list[tuple[bytes, int | None]], most: int) -> bytes | None:
    """An end of at most so many bytes, if one is found."""
    num_tried, ways = 0, [(b"", matcher.copy())]
    while ways and num_tried < MOST_TRIED and len(ways[0][0]) < most:
        following = []
        for written, place in ways:
            for byte, token in tokens:
                if token is None or not place.may_come(token):
                    continue
                num_tried += 1
                after = place.copy()
                if after.accepts(token) and after.can_end:
                    return written + byte
                following.append((written + byte, after))
        ways = _kept([(written, after) for written, after in following if not after.has_failed])
    return None


def _kept(ways: list[Way]) -> list[Way]:
    """The first way to each state, and for some states the last."""
    first: dict[bytes, Way] = {}
    last: dict[bytes, Way] = {}
    for way in ways:
        state = way[1].state()
        first.setdefault(state, way)
        last[state] = way
    others = [way for state, way in last.items() if way is not first[state]]
    return [*first.values()][:MOST_FIRST] + others[:MOST_LAST]
