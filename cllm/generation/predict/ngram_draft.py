"""Draft tokens from the text itself: the tokens that followed an earlier occurrence of the last n-gram.

A small network repeats itself, and the memory is not updated with generated text. After a libuv prompt, the next token
was the one that followed the earlier occurrence in 98% of cases where the last 8 tokens were the same, 76% for 4
tokens and 50% for 2 (3,840 tokens, 2026-11-27).
"""

from collections.abc import Sequence

MIN_MATCH, MAX_MATCH = 3, 8  # tokens: shortest match that gives a draft, and longest that is compared


class NgramDrafter:
    """Proposes draft tokens for a sequence; memory grows linearly with its length."""

    def __init__(self, tokens: Sequence[int] = ()) -> None:
        self._tokens = list[int]()
        self._continuations: dict[tuple[int, ...], list[int]] = {}  # n-gram -> indices of the tokens that follow it
        for token in tokens:
            self.accept(token)

    def accept(self, token: int) -> None:
        """Append a token."""
        self._tokens.append(token)
        if len(self._tokens) >= MIN_MATCH:
            self._continuations.setdefault(tuple(self._tokens[-MIN_MATCH:]), []).append(len(self._tokens))

    def rewind(self, length: int) -> None:
        """Drop all tokens after the first `length`."""
        while len(self._tokens) > length:
            if len(self._tokens) >= MIN_MATCH:
                self._continuations[tuple(self._tokens[-MIN_MATCH:])].pop()
            self._tokens.pop()

    def draft(self, max_tokens: int) -> list[int]:
        """Return up to `max_tokens` draft tokens: one for a match of MIN_MATCH, one more per additional matching token.

        A wrong draft token costs half a decoding step.
        """
        tokens, size = self._tokens, len(self._tokens)
        before = self._continuations.get(tuple(tokens[-MIN_MATCH:]), ())[-2:-1]  # the occurrence before the current one
        if not before:
            return []
        begin, match_length = before[0], MIN_MATCH
        while (
            match_length < min(MAX_MATCH, begin) and tokens[begin - 1 - match_length] == tokens[size - 1 - match_length]
        ):
            match_length += 1
        return tokens[begin : begin + min(max_tokens, match_length - MIN_MATCH + 1)]
