"""Where the cursor stands inside a word: which tokens the word's beginning is, as it will have been written.

"OTHERWISE" may be the tokens OTHER and WISE, and its beginning "OTHERW" by itself OT, HER, W: neither network nor
memory ever saw those. So the whole word is taken back, and of all ways to write its beginning as some tokens and the
beginning of one more, the likeliest is gone on with ("token healing", of the word and not of its last token alone).
"""

import heapq
from collections.abc import Callable
from typing import NamedTuple

from cllm.tokenizer import Tokenizer

MAX_CANDIDATES = 64  # are looked at; beyond, the best so far is taken


class PrefixProbabilities(NamedTuple):
    """Chances of the next token: that it begins with all typed bytes; and by id, that it is the first of them alone."""

    covering: float
    inside: list[tuple[int, float]]


def heal(
    token_prefix: bytes, probabilities_after: Callable[[list[int], bytes], PrefixProbabilities], tokenizer: Tokenizer
) -> list[int]:
    """The tokens that `token_prefix` begins with; what is left of it is the beginning of the next.

    `probabilities_after(tokens, rest)` gives the chances after such tokens. Best first: a way's chance only falls.
    """
    candidates: list[tuple[float, list[int], int]] = [(-1.0, [], 0)]
    best, tokens = 0.0, list[int]()
    for _ in range(MAX_CANDIDATES if token_prefix else 0):
        if not candidates or -candidates[0][0] <= best:
            break
        probability, before, num_covered = heapq.heappop(candidates)
        split = probabilities_after(before, token_prefix[num_covered:])
        if -probability * split.covering > best:
            best, tokens = -probability * split.covering, before
        for token, token_probability in split.inside:
            heapq.heappush(
                candidates,
                (probability * token_probability, [*before, token], num_covered + len(tokenizer.token_bytes(token))),
            )
    return tokens if best > 0 else tokenizer.encode(token_prefix)[:-1]
