"""A short way to the end of a text of a grammar: what is written where a text has become too long.

Byte by byte, on several ways at once (a beam search). Of equally long ways after which the same tokens may come, two
are gone on with, the first and the last. Some of the others differ all the same, in what is still open or to be
counted: so the way found need not be the shortest, and where much is to be counted there may be none. Once more with
another order of the bytes finds most of what is shorter.
"""

from cllm.generation.grammar.matcher import Matcher
from cllm.tokenizer import Tokenizer

MAX_FIRST_BEAMS, MAX_LAST_BEAMS = 12, 4  # ways that are gone on with
MAX_END_BYTES = 1024
# Some 10 us each: JSON's ends take 2 to 70 ms, those of 100 open brackets 1.2 s, and what has no end is given up after
# 1 to 2 s (one core, 2026-11-27).
MAX_EXPANSIONS = 1 << 16
QUOTE_BYTES, BRACKET_BYTES, LAST_BYTES = b"\"'`", b")]}>", b"([{< \t\r\n"
OTHER_BYTES = bytes(byte for byte in range(256) if byte not in QUOTE_BYTES + BRACKET_BYTES + LAST_BYTES)
# Quotes before brackets leave a string, brackets before quotes leave a list; what opens something, or is blank, leaves
# nothing.
EXPANSION_ORDERS = (
    QUOTE_BYTES + BRACKET_BYTES + OTHER_BYTES + LAST_BYTES,
    BRACKET_BYTES + QUOTE_BYTES + OTHER_BYTES + LAST_BYTES,
)

Beam = tuple[bytes, Matcher]


def shortest_end(matcher: Matcher, tokenizer: Tokenizer) -> bytes | None:
    """What ends a text that stands where the matcher does; None if nothing was found."""
    if matcher.can_end:
        return b""
    found: bytes | None = None
    for order in EXPANSION_ORDERS:
        max_bytes = MAX_END_BYTES if found is None else len(found) - 1
        shorter = _beam_search(matcher, [(bytes([byte]), tokenizer.id_of(bytes([byte]))) for byte in order], max_bytes)
        found = found if shorter is None else shorter
    return found


def _beam_search(matcher: Matcher, tokens: list[tuple[bytes, int | None]], max_bytes: int) -> bytes | None:
    """An end of at most so many bytes, if one is found."""
    num_expansions, beams = 0, [(b"", matcher.copy())]
    while beams and num_expansions < MAX_EXPANSIONS and len(beams[0][0]) < max_bytes:
        following = []
        for suffix, parent in beams:
            for byte, token in tokens:
                if token is None or not parent.is_allowed(token):
                    continue
                num_expansions += 1
                child = parent.copy()
                if child.try_accept(token) and child.can_end:
                    return suffix + byte
                following.append((suffix + byte, child))
        beams = _prune([(suffix, child) for suffix, child in following if not child.has_failed])
    return None


def _prune(beams: list[Beam]) -> list[Beam]:
    """The first way to each state, and for some states the last."""
    first: dict[bytes, Beam] = {}
    last: dict[bytes, Beam] = {}
    for beam in beams:
        state = beam[1].allowed_bitmask()
        first.setdefault(state, beam)
        last[state] = beam
    others = [beam for state, beam in last.items() if beam is not first[state]]
    return [*first.values()][:MAX_FIRST_BEAMS] + others[:MAX_LAST_BEAMS]
