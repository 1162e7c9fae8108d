"""Where a text stands in its grammar, in a tokenizer's tokens: which may come next, and whether the text may end.

A token may come if there is a text of the grammar that goes on with its bytes, wherever that text would be cut into
tokens. Of the special tokens only the end of the text may come, exactly where the grammar may end.
"""

from copy import copy
from typing import Self

import torch
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from torch import Tensor

from cllm.errors import UsageError
from cllm.generation.grammar.grammar import LIMITS, Grammar, one_line_message
from cllm.tokenizer import Tokenizer

# The library marks special tokens by this byte, which no UTF-8 text has: the token of it alone may never come.
SPECIAL_MARK = b"\xff"


class _TokenizerAdapter:
    """A tokenizer as the library asks for one: its tokens' bytes by id.

    Taken from `tokenizer.json` instead, special tokens would have names that a grammar can ask for.
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
    """Stands behind the tokens that were accepted; one that fails has no text on from there, or a grammar too large."""

    def __init__(self, grammar: Grammar, tokenizer: Tokenizer) -> None:
        vocabulary = LLTokenizer(TokenizerWrapper(_TokenizerAdapter(tokenizer)))  # 6 ms for 4,096 tokens
        self._special = sorted(set(tokenizer.special.values()) - {tokenizer.end_of_text})
        self._initial = LLMatcher(vocabulary, grammar.definition, log_level=0, limits=LIMITS)
        self.restart()

    def restart(self) -> None:
        """Stand at the text's beginning."""
        self._matcher = self._initial.deep_copy()
        self._num_accepted = 0

    def copy(self) -> Self:
        """Another one that stands here."""
        other = copy(self)
        other._matcher = self._matcher.deep_copy()
        return other

    def allowed(self) -> Tensor:
        """Which ids (V,) may come next: at least one; UsageError where there is none."""
        # A byte for each id, 0 for those that may not come.
        mask = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8) != 0
        self._check()
        mask[self._special] = False  # a Lark grammar may ask for ids by number
        if not bool(mask.any()):
            raise UsageError(f"the grammar leads nowhere {self._location}: it asks for tokens that no text has")
        return mask

    def allowed_bitmask(self) -> bytes:
        """What may come next, as bytes: two places where it is the same are much alike."""
        return self._matcher.compute_bitmask()

    @property
    def can_end(self) -> bool:
        return self._matcher.is_accepting()

    @property
    def must_end(self) -> bool:
        return self.can_end and int(self.allowed().count_nonzero()) == 1

    @property
    def has_failed(self) -> bool:
        return self._matcher.is_error()

    def is_allowed(self, token: int) -> bool:
        """Whether a token may come next."""
        return self._matcher.validate_tokens([token]) == 1

    def try_accept(self, token: int) -> bool:
        """Go on with a token if it may come; whether it may."""
        return self._matcher.try_consume_tokens([token]) == 1

    def accept(self, token: int) -> None:
        """Go on with a token that may come."""
        self._matcher.consume_token(token)
        self._num_accepted += 1
        self._check()

    def rollback(self, count: int) -> None:
        """Take back so many tokens."""
        self._matcher.rollback(count)
        self._num_accepted -= count

    @property
    def _location(self) -> str:
        return f"after {self._num_accepted} tokens" if self._num_accepted else "at its beginning"

    def _check(self) -> None:
        if not self._matcher.is_error():
            return
        message = one_line_message(self._matcher.get_error())
        if message.startswith("NoExtension"):
            raise UsageError(f"the grammar leads nowhere {self._location}: no text of it goes on")
        raise UsageError(f"the grammar is too large to go on with {self._location}: {message}")
