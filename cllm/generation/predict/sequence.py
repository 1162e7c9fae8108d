"""A text that a network reads and goes on with, token by token, on one thread of thought: B = 1.

What probably comes next may be read together with a token: a few tokens at once take little longer than one. Where the
draft is right, what the network says after it is there already; where it is wrong, it is taken back (the verification
of Leviathan et al. 2023, arXiv:2211.17192, for a draft that says one token and no distribution).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cllm.generation.predict.decoder import Decoder
from cllm.generation.predict.ngram_draft import NgramDrafter
from cllm.model.cache import KVCache
from cllm.model.transformer import Transformer

PREFILL_CHUNK_TOKENS = 128  # of a prompt: whoever hears what is num_logits of it does so while the next are read


class SequenceMark(NamedTuple):
    """Where a text stood: what is num_logits of the next token, tokens held, tokens come, and times that it forgot."""

    logits: Tensor
    batched_token: int | None
    length: int
    position: int
    num_evictions: int
    num_accepted: int


class NetworkSequence:
    """Stands behind the text so far; `logits` (V,) fp32 are of what comes next. `restart` goes back to the `prompt`.

    When the cache is full its older half is forgotten: keys are rotary, so the rest stays as it is.
    """

    def __init__(
        self,
        model: Transformer,
        decoder: Decoder | None = None,
        prefill_model: Transformer | None = None,
        max_drafted: int = 0,
    ) -> None:
        """Stand before a text. A decoder, if there is one, reads what comes after the prompt, a reader the prompt.

        They are the same network: the decoder token by token, the reader perhaps in another dtype. With each token
        it reads up to `max_drafted` that the text itself proposes (`repeats`).
        """
        self._model, self._decoder, self._prefill_model = model, decoder, prefill_model or model
        dtype = self._prefill_model.embedding.weight.dtype
        assert decoder is not None or dtype == model.embedding.weight.dtype, "they share a cache"
        self.prompt, self.config = KVCache(model.config, 1, model.config.context_length, dtype), model.config
        self._drafter, self._max_drafted = NgramDrafter(), max_drafted
        self._last_hidden: Tensor | None = None  # hidden state (1, D) behind the prompt

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int], num_logits: int = 0) -> Iterator[Tensor]:
        """Let the prompt go on with ids (at least one at first; those beyond the context lose their beginning).

        Yields logits (n, V) of the last `num_logits` of them, each from those before it, some at a time, as it
        reads; to be
        exhausted.
        """
        ids = ids[-(self.prompt.capacity - 1) :]
        num_without_logits = len(ids) - num_logits
        self._drafter.rewind(self.prompt.length)
        for id_ in ids:
            self._drafter.accept(id_)
        for begin in range(0, len(ids), PREFILL_CHUNK_TOKENS):
            part = ids[begin : begin + PREFILL_CHUNK_TOKENS]
            hidden = self._prefill_model(torch.tensor([list(part)]), self.prompt)[0]
            before = hidden[:-1] if self._last_hidden is None else torch.cat([self._last_hidden, hidden[:-1]])
            first = max(0, num_without_logits - begin)  # of the part's ids, that is spoken of
            self._last_hidden = hidden[-1:]
            if first < len(part):
                yield self._head_logits(before[len(before) - (len(part) - first) :])
        self.restart()

    def has_capacity(self, num_ids: int) -> bool:
        """Whether the prompt may be so much longer."""
        return self.prompt.length + num_ids < self.prompt.capacity

    def restart(self) -> None:
        """Stand behind the prompt again."""
        self._cache = self.prompt.copy()
        self._batched_token: int | None = None  # token that was read with others, and may be read again alone
        self._drafted: deque[tuple[int, Tensor]] = deque()  # tokens in the cache that have not come yet
        assert self._last_hidden is not None, "nothing was read"
        self.logits = self._head_logits(self._last_hidden)[0]
        self._accepted: list[int] = []
        self._drafter.rewind(self.prompt.length)
        self._num_evictions = 0

    def mark(self) -> SequenceMark:
        """This place, to come back to."""
        drafted = len(self._drafted)
        length, position = self._cache.length - drafted, self._cache.position - drafted
        return SequenceMark(
            self.logits, self._batched_token, length, position, self._num_evictions, len(self._accepted)
        )

    def rewind(self, mark: SequenceMark) -> None:
        """Stand where a mark was made on the way here since the last `restart`."""
        if mark.num_evictions != self._num_evictions:  # what the cache forgot is read again
            accepted = self._accepted[: mark.num_accepted]
            self.restart()
            for token in accepted:
                self.accept(token)
            return
        self._drafted.clear()
        del self._accepted[mark.num_accepted :]
        self._drafter.rewind(self.prompt.length + mark.num_accepted)
        self._cache.length, self._cache.position = mark.length, mark.position
        self.logits, self._batched_token = mark.logits, mark.batched_token

    def is_drafted(self, token: int) -> bool:
        """Whether a token is read already, as a draft."""
        return bool(self._drafted) and self._drafted[0][0] == token

    def accept(self, token: int, draft: Sequence[int] = ()) -> None:
        """Go on with a token. `draft`: what may come after it, read together with it unless the token is expected.

        What the text itself proposes goes before that.
        """
        self._accepted.append(token)
        self._drafter.accept(token)
        if self.is_drafted(token):
            self._batched_token, self.logits = self._drafted.popleft()
        else:
            self._forward([token, *(self._drafter.draft(self._max_drafted) or draft)])

    def recompute_last(self) -> bool:
        """Read the last token again by itself, if it was read with others: sums then have another rounding."""
        if self._batched_token is None:
            return False
        self._cache.rewind(1)
        self._forward([self._batched_token])
        return True

    @torch.inference_mode()
    def _forward(self, ids: Sequence[int]) -> None:
        """Read a token that has come, and others that may come, as far as there is room for them."""
        self._cache.rewind(len(self._drafted))
        if self._cache.length == self._cache.capacity:
            self._cache.keep_last(self._cache.capacity // 2)
            self._num_evictions += 1
        ids = ids[: self._cache.capacity - self._cache.length]
        if self._decoder is not None:
            logits = torch.from_numpy(self._decoder.decode(ids, self._cache))
        else:
            logits = self._head_logits(self._model(torch.tensor([ids]), self._cache)[0])
        self._batched_token = ids[0] if len(ids) > 1 else None
        self._drafted = deque(zip(ids[1:], logits[1:], strict=True))
        self.logits = logits[0]

    @torch.inference_mode()
    def _head_logits(self, hidden: Tensor) -> Tensor:
        head = (
            self._model.head_weight
            if hidden.dtype == self._model.head_weight.dtype
            else self._prefill_model.head_weight
        )
        return torch.mm(hidden, head.t()).float()
