"""Where the cursor stands inside a word: which tokens the word's beginning is, as it will have been written.

"OTHERWISE" may be the tokens OTHER and WISE, and its beginning "OTHERW" by itself OT, HER, W: neither network nor
memory ever saw those. So the whole word is taken back, and of all ways to write its beginning as some tokens and the
beginning of one more, the likeliest is gone on with ("token healing", of the word and not of its last token alone).
"""

import heapq
from collections.abc import Callable
from typing import NamedTuple

from cllm.tokenizer import Tokenizer

MOST_STATES = 64  # are looked at; beyond, the best so far is taken


class Split(NamedTuple):
    """Chances of the next token: that it begins with all typed bytes; and by id, that it is the first of them alone."""

    begins: float
    whole: list[tuple[int, float]]


def heal(typed: bytes, split_after: Callable[[list[int], bytes], Split], tokenizer: Tokenizer) -> list[int]:
    """The tokens that `typed` begins with; what is left of it is the beginning of the next.

    `split_after(tokens, rest)` gives the chances after such tokens. Best first: a way's chance only falls.
    """
    ways: list[tuple[float, list[int], int]] = [(-1.0, [], 0)]
    best, tokens = 0.0, list[int]()
    for _ in range(MOST_STATES if typed else 0):
        if not ways or -ways[0][0] <= best:
            break
        chance, before, done = heapq.heappop(ways)
        split = split_after(before, typed[done:])
        if -chance * split.begins > best:
            best, tokens = -chance * split.begins, before
        for token, share in split.whole:
            heapq.heappush(ways, (chance * share, [*before, token], done + len(tokenizer.token_bytes(token))))
    return tokens if best > 0 else tokenizer.encode(typed)[:-1]
