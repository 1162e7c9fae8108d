"""A text that a network reads and goes on with, token by token, on one thread of thought: B = 1."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cllm.model.cache import KVCache
from cllm.model.loss import ROWS_PER_CHUNK
from cllm.model.transformer import Transformer


class NetworkText:
    """Stands behind the text so far; `logits` (V,) fp32 are of what comes next. `restart` goes back to the prompt.

    When the cache is full its older half is forgotten: keys are rotary, so the rest stays as it is.
    """

    def __init__(self, model: Transformer, prompt: list[int]) -> None:
        """Read a prompt of at least one id; one longer than the context loses its beginning."""
        self._model = model
        self._prompt = KVCache(model.config, 1, model.config.context_length, model.embedding.weight.dtype)
        with torch.inference_mode():
            self._hidden = model(torch.tensor([prompt[-(self._prompt.capacity - 1) :]]), self._prompt)[0]
        self.restart()

    def restart(self) -> None:
        """Stand behind the prompt again."""
        self._cache = self._prompt.copy()
        self._read(self._hidden[-1:])

    @torch.inference_mode()
    def accept(self, token: int) -> None:
        """Go on with a token."""
        if self._cache.length == self._cache.capacity:
            self._cache.keep(self._cache.capacity // 2)
        self._read(self._model(torch.tensor([[token]]), self._cache)[0])

    @torch.inference_mode()
    def said(self, count: int) -> Iterator[Tensor]:
        """Logits (n, V) of the last `count` ids of the prompt, each from those before it, some at a time."""
        rows = self._hidden[len(self._hidden) - 1 - count : -1]
        for some in torch.split(rows, ROWS_PER_CHUNK) if count else ():
            yield torch.mm(some, self._model.head_weight.t()).float()

    @torch.inference_mode()
    def _read(self, hidden: Tensor) -> None:
        self.logits = torch.mm(hidden, self._model.head_weight.t()).float()[0]
