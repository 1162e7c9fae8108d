"""A short end for a text of a grammar, which is appended when the text reaches its token limit.

The end is found by beam search, byte by byte. Of beams of equal length with the same allowed tokens, two are kept, the
first and the last. Beams that are dropped may differ in open constructs or in counts. So the end that is found need
not be the shortest, and a grammar with large counts may yield none. A second search with another order of the bytes
finds most ends that are shorter.
"""

from cllm.generation.grammar.matcher import Matcher
from cllm.tokenizer import Tokenizer

MAX_FIRST_BEAMS, MAX_LAST_BEAMS = 12, 4  # beams that are kept per step
MAX_END_BYTES = 1024
# Some 10 us per expansion: ends of JSON take 2 to 70 ms, those of 100 open brackets 1.2 s; a search without a result
# stops after 1 to 2 s (one core, 2026-11-27).
MAX_EXPANSIONS = 1 << 16
QUOTE_BYTES, BRACKET_BYTES, LAST_BYTES = b"\"'`", b")]}>", b"([{< \t\r\n"
OTHER_BYTES = bytes(byte for byte in range(256) if byte not in QUOTE_BYTES + BRACKET_BYTES + LAST_BYTES)
# Quotes before brackets close a string first, brackets before quotes close a list first; openers and whitespace close
# nothing.
EXPANSION_ORDERS = (
    QUOTE_BYTES + BRACKET_BYTES + OTHER_BYTES + LAST_BYTES,
    BRACKET_BYTES + QUOTE_BYTES + OTHER_BYTES + LAST_BYTES,
)

Beam = tuple[bytes, Matcher]


def shortest_end(matcher: Matcher, tokenizer: Tokenizer) -> bytes | None:
    """Return bytes that end the text from the matcher's state; None if no end was found."""
    if matcher.can_end:
        return b""
    found: bytes | None = None
    for order in EXPANSION_ORDERS:
        max_bytes = MAX_END_BYTES if found is None else len(found) - 1
        shorter = _beam_search(matcher, [(bytes([byte]), tokenizer.id_of(bytes([byte]))) for byte in order], max_bytes)
        found = found if shorter is None else shorter
    return found


def _beam_search(matcher: Matcher, tokens: list[tuple[bytes, int | None]], max_bytes: int) -> bytes | None:
    """Return an end of at most `max_bytes`; None if no end was found."""
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
    """Keep the first beam of each bitmask of allowed ids, and the last beam of some bitmasks."""
    first: dict[bytes, Beam] = {}
    last: dict[bytes, Beam] = {}
    for beam in beams:
        bitmask = beam[1].allowed_bitmask()
        first.setdefault(bitmask, beam)
        last[bitmask] = beam
    others = [beam for bitmask, beam in last.items() if beam is not first[bitmask]]
    return [*first.values()][:MAX_FIRST_BEAMS] + others[:MAX_LAST_BEAMS]
