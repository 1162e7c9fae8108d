"""Matching of a token sequence against a grammar: which tokens are allowed next, and whether the text may end.

A token is allowed if a text of the grammar continues with its bytes, regardless of how the tokenizer would split that
text. Of the special tokens, only the end of the text is allowed, and only where the grammar may end.
"""

from copy import copy
from typing import Self

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from cllm.errors import UsageError
from cllm.generation.grammar.grammar import LIMITS, Grammar, one_line_message
from cllm.jit.compiled import Array
from cllm.tokenizer import Tokenizer

# llguidance marks special tokens by this byte, which no UTF-8 text contains: the token of this byte is never allowed.
SPECIAL_MARK = b"\xff"


class _TokenizerAdapter:
    """A tokenizer in llguidance's interface: the bytes of each token by id.

    If it were loaded from `tokenizer.json` instead, a grammar could refer to special tokens by name.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id, self.bos_token_id = tokenizer.end_of_text, None
        self.special_token_ids = sorted(tokenizer.special.values())
        self.tokens = [tokenizer.token_bytes(index) for index in range(tokenizer.vocab_size)]
        for index in self.special_token_ids:
            self.tokens[index] = SPECIAL_MARK + b"%d" % index

    def __call__(self, text: bytes) -> list[int]:
        return self._tokenizer.encode(text)


class Matcher:
    """The state of a grammar after the accepted tokens; it fails if no text continues or LIMITS are exceeded."""

    def __init__(self, grammar: Grammar, tokenizer: Tokenizer) -> None:
        vocabulary = LLTokenizer(TokenizerWrapper(_TokenizerAdapter(tokenizer)))  # 6 ms for 4,096 tokens
        self._special = sorted(set(tokenizer.special.values()) - {tokenizer.end_of_text})
        self._initial = LLMatcher(vocabulary, grammar.definition, log_level=0, limits=LIMITS)
        self.restart()

    def restart(self) -> None:
        """Reset to the beginning of the text."""
        self._matcher = self._initial.deep_copy()
        self._num_accepted = 0

    def copy(self) -> Self:
        """Return an independent matcher with the same state."""
        other = copy(self)
        other._matcher = self._matcher.deep_copy()
        return other

    def allowed(self) -> Array:
        """Return a mask (V,) bool of the ids that are allowed next, at least one.

        Raises UsageError if none is allowed or the grammar exceeds a limit.
        """
        # One byte per id, 0 for ids that are not allowed.
        mask: Array = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8) != 0
        self._check()
        mask[self._special] = False  # a Lark grammar may name ids by number
        if not mask.any():
            raise UsageError(f"the grammar allows no token {self._location}: it requires special tokens")
        return mask

    def allowed_bitmask(self) -> bytes:
        """Return the allowed ids as a bitmask; positions with the same bitmask are treated as similar states."""
        return self._matcher.compute_bitmask()

    @property
    def can_end(self) -> bool:
        return self._matcher.is_accepting()

    @property
    def must_end(self) -> bool:
        return self.can_end and np.count_nonzero(self.allowed()) == 1

    @property
    def has_failed(self) -> bool:
        return self._matcher.is_error()

    def is_allowed(self, token: int) -> bool:
        """Whether a token is allowed next."""
        return self._matcher.validate_tokens([token]) == 1

    def try_accept(self, token: int) -> bool:
        """Accept a token if it is allowed; return whether it was."""
        is_accepted: bool = self._matcher.try_consume_tokens([token]) == 1
        self._num_accepted += is_accepted
        return is_accepted

    def accept(self, token: int) -> None:
        """Accept a token that is allowed. Raises UsageError if the grammar exceeds a limit."""
        self._matcher.consume_token(token)
        self._num_accepted += 1
        self._check()

    def mark(self) -> int:
        """The present position, for `rewind`."""
        return self._num_accepted

    def rewind(self, mark: int) -> None:
        """Undo the tokens accepted since a mark."""
        self._matcher.rollback(self._num_accepted - mark)
        self._num_accepted = mark

    @property
    def _location(self) -> str:
        return f"after {self._num_accepted} tokens" if self._num_accepted else "at its beginning"

    def _check(self) -> None:
        if not self._matcher.is_error():
            return
        message = one_line_message(self._matcher.get_error())
        if message.startswith("NoExtension"):
            raise UsageError(f"the grammar allows no token {self._location}: none of its texts continues")
        raise UsageError(f"the grammar exceeds a limit {self._location}: {message}")
