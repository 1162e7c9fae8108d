"""Who predicts the next token: the network, the memory, or the memory that hears the network."""

from collections.abc import Iterator
from contextlib import ExitStack
from copy import copy
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cllm.ahead import ahead
from cllm.compiled import Array
from cllm.generation.decoder import Decoder
from cllm.generation.healing import Split, heal
from cllm.generation.network import NetworkMark, NetworkText
from cllm.generation.prompt import Laid
from cllm.generation.together import SampleText, Together
from cllm.memory.continuation import FROM_MEMORY, Continuation
from cllm.memory.memory import NOTHING, Memory, NetworkSays
from cllm.memory.network import in_memory_terms, network_says_one
from cllm.memory.search import NEARLY
from cllm.tokenizer import Tokenizer

# The least chance that a token is drawn with: on libuv the tokens below it have 0.2% together, and to find those above
# it takes 1.4 ms, to find all 290 (2026-11-24).
LEAST_DRAWN = 1e-5
MOST_DRAFTED = 4  # tokens
PARTS_AHEAD = 4  # of what the network says of a prompt
MOST_MORE_BYTES = 1 << 12  # that a prompt may be longer before it is read anew


class Predictor(Protocol):
    """Stands behind the text so far; a context manager, whose end undoes what the prompt taught it."""

    def restart(self) -> None:
        """Stand behind the prompt again."""

    typed: bytes  # that the first token begins with: the end of the prompt

    def log_probabilities(self, typed: bytes, only_best: bool, least: float = LEAST_DRAWN) -> Tensor:
        """(V,) of the next token, which begins with the bytes `typed`; -inf for what cannot come.

        With `only_best`, all that is sure is which is the largest; tokens with a chance below `least` may be left out.
        """

    def accept(self, token: int) -> None:
        """Go on with a token."""

    def mark(self) -> Any:
        """This place, to come back to."""

    def back_to(self, mark: Any) -> None:
        """Stand where a mark was made on the way here since the last `restart`."""

    def __enter__(self) -> "Predictor": ...

    def __exit__(self, *error: object) -> None: ...


class NetworkPredictor:
    """The network alone."""

    def __init__(self, network: NetworkText, tokenizer: Tokenizer, laid: Laid) -> None:
        self._text: NetworkText | SampleText = network
        self._network, self._tokenizer, self._healed = network, tokenizer, list[int]()
        for _ in network.read(laid.network):
            pass
        self._banned = banned(tokenizer)
        self._healed = heal(laid.typed, self._split_after, tokenizer)
        self.typed = laid.typed[len(tokenizer.decode(self._healed)) :]

    def several(self, count: int, decoder: Decoder) -> "list[NetworkPredictor]":
        """Others behind the same prompt, whose tokens are read together."""
        several = [copy(self) for _ in range(count)]
        for one, text in zip(several, Together(self._network, decoder, count).texts, strict=True):
            one._text = text
        return several

    def restart(self) -> None:
        self._text.restart()
        for token in self._healed:
            self._text.accept(token)

    def _split_after(self, tokens: list[int], typed: bytes) -> Split:
        self._healed = tokens
        self.restart()
        probabilities = self._text.logits.masked_fill(self._banned, float("-inf")).softmax(-1)
        whole = ((length, self._tokenizer.id_of(typed[:length])) for length in range(1, len(typed)))
        begins = sum(float(probabilities[token]) for token in self._begin_with(typed))
        return Split(begins, [(token, float(probabilities[token])) for _, token in whole if token is not None])

    def _begin_with(self, typed: bytes) -> list[int]:
        return [i for i in range(self._tokenizer.vocab_size) if self._tokenizer.token_bytes(i).startswith(typed)]

    def log_probabilities(self, typed: bytes, only_best: bool, least: float = LEAST_DRAWN) -> Tensor:
        logits = self._text.logits.masked_fill(self._banned, float("-inf"))
        if typed:
            begins = self._begin_with(typed)
            logits = torch.full_like(logits, float("-inf")).index_copy_(0, torch.tensor(begins), logits[begins])
        return logits.log_softmax(-1)

    def accept(self, token: int) -> None:
        self._text.accept(token)

    def mark(self) -> Any:
        return self._text.mark()

    def back_to(self, mark: Any) -> None:
        self._text.back_to(mark)

    def __enter__(self) -> "NetworkPredictor":
        return self

    def __exit__(self, *error: object) -> None:
        pass


class MemoryPredictor:
    """The memory, and where there is a model, with what it says of the prompt and of each token."""

    def __init__(
        self, memory: Memory, network: NetworkText | None, laid: Laid, most_drafted: int = MOST_DRAFTED
    ) -> None:
        """`network` stands before the prompt; `most_drafted` tokens that the memory proposes it reads at once."""
        self._memory, self._network, self._laid, self._most_drafted = memory, network, laid, most_drafted
        self._held, self._room = ExitStack(), 0

    def __enter__(self) -> "MemoryPredictor":
        try:
            return self._enter()
        except BaseException:
            self._held.close()
            raise

    def _enter(self) -> "MemoryPredictor":
        memory, laid, path = self._memory, self._laid, self._laid.path or ""
        read = memory.tokenizer.token_lengths()[[*laid.before, *laid.after]].sum()
        self._held.enter_context(memory.forgetting(int(read) + MOST_MORE_BYTES + 1))
        self._room = MOST_MORE_BYTES
        if laid.path is not None:  # a file's own old self agrees best with it, and says what was there
            memory.hide(laid.path)
        heard = ahead(self._heard(laid.network, laid.predicted), PARTS_AHEAD)  # begins now, in a thread of its own
        if laid.after:  # the rest of the file is read like a file before it
            memory.read_beginning(laid.after, path=path)
        silent = len(laid.before) - laid.predicted if self._network is not None else 0
        self._text = Continuation(memory, laid.before, heard, silent, path)
        for _ in heard:
            raise AssertionError("the network speaks of more tokens than there are")
        self._look_around()
        return self

    def _heard(self, ids: list[int], said: int) -> Iterator[NetworkSays]:
        """What the network says of the last `said` of some ids that it reads now."""
        if self._network is None:
            return iter(())
        return in_memory_terms(self._network.read(ids, said), self._memory.trie)

    def extend(self, laid: Laid) -> bool:
        """Stand behind a prompt that goes on where this one's ends, as if it had been read at once; whether it does."""
        old, more = self._laid, laid.before[len(self._laid.before) :]
        is_longer = laid.before[: len(old.before)] == old.before
        if self._network is not None:
            is_longer &= laid.network == [*old.network, *more] and self._network.has_room(len(more))
        num_bytes = int(self._memory.tokenizer.token_lengths()[more].sum())
        if not is_longer or (laid.after, laid.path) != (old.after, old.path) or num_bytes > self._room:
            return False
        if more:
            self._text.extend(more, self._heard(more, len(more)))
        self._laid, self._room = laid, self._room - num_bytes
        self._look_around(is_new=bool(more))
        return True

    def _look_around(self, is_new: bool = True) -> None:
        """Find the place that is most like the cursor's, and what the prompt's last piece begins with."""
        if self._laid.after and is_new:
            self._text.look_around(self._memory.tokenizer.decode(self._laid.after))
        self._healed: list[int] = []
        self._healed = heal(self._laid.typed, self._split_after, self._memory.tokenizer)
        self.typed = self._laid.typed[len(self._memory.tokenizer.decode(self._healed)) :]

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def restart(self) -> None:
        self._text.restart()
        if self._network is not None:
            self._network.restart()
        for token in self._healed:
            self.accept(token)

    def _split_after(self, tokens: list[int], typed: bytes) -> Split:
        self._healed = tokens
        self.restart()
        return Split(*self._text.split(typed, self._said()[0]))

    def log_probabilities(self, typed: bytes, only_best: bool, least: float = LEAST_DRAWN) -> Tensor:
        chances = self._chances(typed, only_best, least)
        if only_best and self._network is not None and is_close(chances) and self._network.alone():
            chances = self._chances(typed, only_best, least)
        tokenizer = self._memory.tokenizer
        found = np.full(tokenizer.vocab_size, -np.inf, np.float32)
        possible = np.flatnonzero(chances)
        ids = np.append(self._memory.trie.ids, tokenizer.end_of_text)
        found[ids[possible]] = np.log(chances[possible])
        return torch.from_numpy(found)

    def _chances(self, typed: bytes, only_best: bool, least: float) -> Array:
        """Of the trie's tokens and of the end."""
        says, end_chance = self._said()
        least = 0.0 if only_best else least
        return self._text.chances(says, forced=typed, end_chance=end_chance, least=least, only_best=only_best)

    def _said(self) -> tuple[NetworkSays, float]:
        """What the network says of the next token, and of the text's end, where it and not the memory is asked."""
        if self._network is None:
            return NOTHING, FROM_MEMORY
        says, end = network_says_one(self._network.logits.numpy(), self._memory.trie.ids, self._memory.tokenizer)
        # Where a middle ends, the network has learned, and the memory has not.
        return says, end if self._laid.after else FROM_MEMORY

    def accept(self, token: int) -> None:
        self._text.accept(token)
        if self._network is not None:
            drafts = self._most_drafted and not self._network.expects(token)
            self._network.accept(token, self._text.draft(self._most_drafted) if drafts else ())

    def mark(self) -> tuple[Any, NetworkMark | None]:
        return self._text.mark(), self._network.mark() if self._network is not None else None

    def back_to(self, mark: tuple[Any, NetworkMark | None]) -> None:
        self._text.back_to(mark[0])
        if self._network is not None and mark[1] is not None:
            self._network.back_to(mark[1])


def is_close(chances: Array) -> bool:
    """Whether the second best chance is so close to the best that rounding may decide."""
    return bool(np.count_nonzero(chances >= chances.max() * NEARLY) > 1)


def banned(tokenizer: Tokenizer) -> Tensor:
    """Which ids (V,) never come: special ones, but the end of the text."""
    ids = [index for name, index in tokenizer.special.items() if name != "<|endoftext|>"]
    mask = torch.zeros(tokenizer.vocab_size, dtype=torch.bool)
    mask[ids] = True
    return mask
