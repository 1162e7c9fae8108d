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

from cllm.generation.decoder import Decoder
from cllm.generation.repeats import Repeats
from cllm.model.cache import KVCache
from cllm.model.transformer import Transformer

IDS_AT_ONCE = 128  # of a prompt: whoever hears what is said of it does so while the next are read


class NetworkMark(NamedTuple):
    """Where a text stood: what is said of the next token, tokens held, tokens come, and times that it forgot."""

    logits: Tensor
    last: int | None
    length: int
    position: int
    forgot: int
    accepted: int


class NetworkText:
    """Stands behind the text so far; `logits` (V,) fp32 are of what comes next. `restart` goes back to the `prompt`.

    When the cache is full its older half is forgotten: keys are rotary, so the rest stays as it is.
    """

    def __init__(
        self,
        model: Transformer,
        decoder: Decoder | None = None,
        reader: Transformer | None = None,
        most_drafted: int = 0,
    ) -> None:
        """Stand before a text. A decoder, if there is one, reads what comes after the prompt, a reader the prompt.

        They are the same network: the decoder token by token, the reader perhaps in another dtype. With each token
        it reads up to `most_drafted` that the text itself proposes (`repeats`).
        """
        self._model, self._decoder, self._reader = model, decoder, reader or model
        dtype = self._reader.embedding.weight.dtype
        assert decoder is not None or dtype == model.embedding.weight.dtype, "they share a cache"
        self.prompt, self.config = KVCache(model.config, 1, model.config.context_length, dtype), model.config
        self._repeats, self._most_drafted = Repeats(), most_drafted
        self._behind: Tensor | None = None  # hidden state (1, D) behind the prompt

    @torch.inference_mode()
    def read(self, ids: Sequence[int], said: int = 0) -> Iterator[Tensor]:
        """Let the prompt go on with ids (at least one at first; those beyond the context lose their beginning).

        Yields logits (n, V) of the last `said` of them, each from those before it, some at a time, as it reads; to be
        exhausted.
        """
        ids = ids[-(self.prompt.capacity - 1) :]
        silent = len(ids) - said
        self._repeats.back_to(self.prompt.length)
        for id_ in ids:
            self._repeats.accept(id_)
        for begin in range(0, len(ids), IDS_AT_ONCE):
            part = ids[begin : begin + IDS_AT_ONCE]
            hidden = self._reader(torch.tensor([list(part)]), self.prompt)[0]
            before = hidden[:-1] if self._behind is None else torch.cat([self._behind, hidden[:-1]])
            first = max(0, silent - begin)  # of the part's ids, that is spoken of
            self._behind = hidden[-1:]
            if first < len(part):
                yield self._logits_of(before[len(before) - (len(part) - first) :])
        self.restart()

    def has_room(self, num_ids: int) -> bool:
        """Whether the prompt may be so much longer."""
        return self.prompt.length + num_ids < self.prompt.capacity

    def restart(self) -> None:
        """Stand behind the prompt again."""
        self._cache = self.prompt.copy()
        self._last: int | None = None  # token that was read with others, and may be read again alone
        self._drafted: deque[tuple[int, Tensor]] = deque()  # tokens in the cache that have not come yet
        assert self._behind is not None, "nothing was read"
        self.logits = self._logits_of(self._behind)[0]
        self._accepted: list[int] = []
        self._repeats.back_to(self.prompt.length)
        self._forgot = 0

    def mark(self) -> NetworkMark:
        """This place, to come back to."""
        drafted = len(self._drafted)
        length, position = self._cache.length - drafted, self._cache.position - drafted
        return NetworkMark(self.logits, self._last, length, position, self._forgot, len(self._accepted))

    def back_to(self, mark: NetworkMark) -> None:
        """Stand where a mark was made on the way here since the last `restart`."""
        if mark.forgot != self._forgot:  # what the cache forgot is read again
            accepted = self._accepted[: mark.accepted]
            self.restart()
            for token in accepted:
                self.accept(token)
            return
        self._drafted.clear()
        del self._accepted[mark.accepted :]
        self._repeats.back_to(self.prompt.length + mark.accepted)
        self._cache.length, self._cache.position = mark.length, mark.position
        self.logits, self._last = mark.logits, mark.last

    def expects(self, token: int) -> bool:
        """Whether a token is read already, as a draft."""
        return bool(self._drafted) and self._drafted[0][0] == token

    def accept(self, token: int, draft: Sequence[int] = ()) -> None:
        """Go on with a token. `draft`: what may come after it, read together with it unless the token is expected.

        What the text itself proposes goes before that.
        """
        self._accepted.append(token)
        self._repeats.accept(token)
        if self.expects(token):
            self._last, self.logits = self._drafted.popleft()
        else:
            self._read_on([token, *(self._repeats.draft(self._most_drafted) or draft)])

    def alone(self) -> bool:
        """Read the last token again by itself, if it was read with others: sums then have another rounding."""
        if self._last is None:
            return False
        self._cache.rewind(1)
        self._read_on([self._last])
        return True

    @torch.inference_mode()
    def _read_on(self, ids: Sequence[int]) -> None:
        """Read a token that has come, and others that may come, as far as there is room for them."""
        self._cache.rewind(len(self._drafted))
        if self._cache.length == self._cache.capacity:
            self._cache.keep(self._cache.capacity // 2)
            self._forgot += 1
        ids = ids[: self._cache.capacity - self._cache.length]
        if self._decoder is not None:
            logits = torch.from_numpy(self._decoder.read(ids, self._cache))
        else:
            logits = self._logits_of(self._model(torch.tensor([ids]), self._cache)[0])
        self._last = ids[0] if len(ids) > 1 else None
        self._drafted = deque(zip(ids[1:], logits[1:], strict=True))
        self.logits = logits[0]

    @torch.inference_mode()
    def _logits_of(self, hidden: Tensor) -> Tensor:
        head = self._model.head_weight if hidden.dtype == self._model.head_weight.dtype else self._reader.head_weight
        return torch.mm(hidden, head.t()).float()
