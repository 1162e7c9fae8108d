"""Token healing for a cursor inside a word: how the typed beginning of the word splits into tokens.

"OTHERWISE" may be the tokens OTHER and WISE, while its beginning "OTHERW" alone is encoded as OT, HER, W, which occurs
in no training data. So the whole typed word is removed from the prompt. Among all splits into whole tokens and the
beginning of one more token, the most probable is used. Healing covers the whole word and not only its last token.
"""

import heapq
from collections.abc import Callable
from typing import NamedTuple

from cllm.tokenizer import Tokenizer

MAX_CANDIDATES = 64  # candidates that are expanded; after that, the best so far is used


class PrefixProbabilities(NamedTuple):
    """Probabilities of the next token, given typed bytes.

    `covering`: that the token begins with all typed bytes. `inside`: (id, probability) of each token that is a proper
    prefix of the typed bytes.
    """

    covering: float
    inside: list[tuple[int, float]]


def heal(
    token_prefix: bytes, probabilities_after: Callable[[list[int], bytes], PrefixProbabilities], tokenizer: Tokenizer
) -> list[int]:
    """Return the most probable whole tokens at the start of `token_prefix`; the rest begins the next token.

    `probabilities_after(tokens, rest)` returns the probabilities after these tokens. The search is best-first, since
    a candidate's probability can only decrease.
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
