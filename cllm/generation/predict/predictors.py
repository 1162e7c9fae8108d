"""Predictors of the next token: the network, the memory, or the memory with the network's distributions as input."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from copy import copy
from typing import Any, Protocol

import numpy as np

from cllm.background_iterator import background_iterator
from cllm.generation.predict.healing import PrefixProbabilities, heal
from cllm.generation.predict.network import Network
from cllm.generation.predict.prompt import EncodedPrompt
from cllm.generation.predict.sample_batch import SampleBatch, SampleSequence
from cllm.generation.predict.sampling import log_softmax
from cllm.generation.predict.sequence import NetworkSequence, SequenceMark
from cllm.jit.compiled import Array
from cllm.memory.continuation import END_FROM_MEMORY, Continuation
from cllm.memory.distributions import to_token_distributions, token_distributions
from cllm.memory.memory import Memory
from cllm.memory.mixer.search import NEAR_BEST_FACTOR
from cllm.memory.mixer.trie import NO_DISTRIBUTIONS, TokenDistributions
from cllm.tokenizer import Tokenizer

# Tokens below this probability are not sampled: on libuv they have 0.2% together. Finding the tokens above it takes
# 1.4 ms, finding all takes 290 ms (2026-11-24).
MIN_SAMPLED_PROBABILITY = 1e-5
MAX_DRAFTED = 4  # tokens per draft
PREFETCHED_CHUNKS = 4  # chunks of the prompt's token distributions that are computed ahead
MAX_EXTENSION_BYTES = 1 << 12  # bytes by which a prompt may grow before it is prefilled anew


class Predictor(Protocol):
    """Predicts the next token of a text; a context manager whose exit undoes all updates by the prompt."""

    def restart(self) -> None:
        """Rewind to the end of the prompt."""

    token_prefix: bytes  # the end of the prompt, with which the first token must begin

    def log_probabilities(
        self, token_prefix: bytes, only_best: bool, min_probability: float = MIN_SAMPLED_PROBABILITY
    ) -> Array:
        """Log-probabilities (V,) float32 of the next token, which begins with `token_prefix`; -inf where impossible.

        With `only_best`, only the argmax is exact. Tokens with a probability below `min_probability` may be left out.
        """

    def accept(self, token: int) -> None:
        """Append a token to the text."""

    def mark(self) -> Any:
        """Return a mark of the current position for `rewind`."""

    def rewind(self, mark: Any) -> None:
        """Rewind to a mark that was made on the current path since the last `restart`."""

    def __enter__(self) -> "Predictor": ...

    def __exit__(self, *error: object) -> None: ...


class NetworkPredictor:
    """Predicts by the network alone; shapes as in `Predictor`."""

    def __init__(self, sequence: NetworkSequence, tokenizer: Tokenizer, encoded: EncodedPrompt) -> None:
        self._text: NetworkSequence | SampleSequence = sequence
        self._sequence, self._tokenizer, self._healed = sequence, tokenizer, list[int]()
        for _ in sequence.prefill(encoded.network_ids):
            pass
        self._special_ids = sorted(set(tokenizer.special.values()) - {tokenizer.end_of_text})  # never generated
        self._healed = heal(encoded.token_prefix, self._probabilities_after, tokenizer)
        self.token_prefix = encoded.token_prefix[len(tokenizer.decode(self._healed)) :]

    def forked(self, count: int, network: Network) -> "list[NetworkPredictor]":
        """Return `count` predictors after the same prompt, whose tokens are decoded in one batch."""
        copies = [copy(self) for _ in range(count)]
        for one, text in zip(copies, SampleBatch(self._sequence, network, count).sequences, strict=True):
            one._text = text
        return copies

    def restart(self) -> None:
        self._text.restart()
        for token in self._healed:
            self._text.accept(token)

    def _probabilities_after(self, tokens: list[int], token_prefix: bytes) -> PrefixProbabilities:
        self._healed = tokens
        self.restart()
        probabilities = np.exp(log_softmax(self._logits()))
        whole = ((length, self._tokenizer.id_of(token_prefix[:length])) for length in range(1, len(token_prefix)))
        covering = float(probabilities[self._ids_with_prefix(token_prefix)].sum())
        return PrefixProbabilities(
            covering, [(token, float(probabilities[token])) for _, token in whole if token is not None]
        )

    def _ids_with_prefix(self, token_prefix: bytes) -> list[int]:
        return [i for i in range(self._tokenizer.vocab_size) if self._tokenizer.token_bytes(i).startswith(token_prefix)]

    def log_probabilities(
        self, token_prefix: bytes, only_best: bool, min_probability: float = MIN_SAMPLED_PROBABILITY
    ) -> Array:
        logits = self._logits()
        if token_prefix:
            begins = self._ids_with_prefix(token_prefix)
            kept = np.full_like(logits, -np.inf)
            kept[begins] = logits[begins]
            logits = kept
        return log_softmax(logits)

    def _logits(self) -> Array:
        """Logits (V,) of the next token, -inf for tokens that are never generated."""
        logits = self._text.logits.copy()
        logits[self._special_ids] = -np.inf
        return logits

    def accept(self, token: int) -> None:
        self._text.accept(token)

    def mark(self) -> Any:
        return self._text.mark()

    def rewind(self, mark: Any) -> None:
        self._text.rewind(mark)

    def __enter__(self) -> "NetworkPredictor":
        return self

    def __exit__(self, *error: object) -> None:
        pass


class MemoryPredictor:
    """Predicts by the memory, with the network's distributions as input if there is a network.

    Shapes as in `Predictor`.
    """

    def __init__(
        self, memory: Memory, network: NetworkSequence | None, encoded: EncodedPrompt, max_drafted: int = MAX_DRAFTED
    ) -> None:
        """`network` must be empty. It decodes up to `max_drafted` tokens that the memory proposes with each token."""
        self._memory, self._network, self._encoded, self._max_drafted = memory, network, encoded, max_drafted
        self._exit_stack, self._bytes_left = ExitStack(), 0

    def __enter__(self) -> "MemoryPredictor":
        try:
            return self._enter()
        except BaseException:
            self._exit_stack.close()
            raise

    def _enter(self) -> "MemoryPredictor":
        memory, encoded, path = self._memory, self._encoded, self._encoded.path or ""
        num_prompt_bytes = memory.tokenizer.token_lengths()[[*encoded.prefix_ids, *encoded.suffix_ids]].sum()
        self._exit_stack.enter_context(memory.rollback_on_exit(int(num_prompt_bytes) + MAX_EXTENSION_BYTES + 1))
        self._bytes_left = MAX_EXTENSION_BYTES
        if encoded.path is not None:  # the file's old version would match best and predict the old text
            memory.exclude_file(encoded.path)
        network_probs = background_iterator(
            self._prefill_probs(encoded.network_ids, encoded.num_predicted), PREFETCHED_CHUNKS
        )  # starts now, in a background thread
        if encoded.suffix_ids:  # the rest of the file is prefilled as if it were a file before this one
            memory.prefill(encoded.suffix_ids, path=path)
        num_without_network = len(encoded.prefix_ids) - encoded.num_predicted if self._network is not None else 0
        self._text = Continuation(memory, encoded.prefix_ids, network_probs, num_without_network, path)
        for _ in network_probs:
            raise AssertionError("the network yields distributions for more tokens than the prompt has")
        self._find_context()
        return self

    def _prefill_probs(self, ids: list[int], num_logits: int) -> Iterator[TokenDistributions]:
        """Yield the network's distributions of the last `num_logits` ids, while it prefills `ids`."""
        if self._network is None:
            return iter(())
        return to_token_distributions(self._network.prefill(ids, num_logits), self._memory.trie)

    def extend(self, encoded: EncodedPrompt) -> bool:
        """Extend the prompt to a longer one, as if that had been prefilled at once; return whether this was possible.

        The longer prompt must begin with this one, have the same suffix and path, and fit the reserved space.
        """
        old, more = self._encoded, encoded.prefix_ids[len(self._encoded.prefix_ids) :]
        is_longer = encoded.prefix_ids[: len(old.prefix_ids)] == old.prefix_ids
        if self._network is not None:
            is_longer &= encoded.network_ids == [*old.network_ids, *more] and self._network.has_capacity(len(more))
        num_bytes = int(self._memory.tokenizer.token_lengths()[more].sum())
        if (
            not is_longer
            or (encoded.suffix_ids, encoded.path) != (old.suffix_ids, old.path)
            or num_bytes > self._bytes_left
        ):
            return False
        if more:
            self._text.extend(more, self._prefill_probs(more, len(more)))
        self._encoded, self._bytes_left = encoded, self._bytes_left - num_bytes
        self._find_context(is_new=bool(more))
        return True

    def _find_context(self, is_new: bool = True) -> None:
        """Find the memory's best match for the text around the cursor, and heal the prompt's last pre-token."""
        if self._encoded.suffix_ids and is_new:
            self._text.match_both_sides(self._memory.tokenizer.decode(self._encoded.suffix_ids))
        self._healed: list[int] = []
        self._healed = heal(self._encoded.token_prefix, self._probabilities_after, self._memory.tokenizer)
        self.token_prefix = self._encoded.token_prefix[len(self._memory.tokenizer.decode(self._healed)) :]

    def __exit__(self, *error: object) -> None:
        self._exit_stack.close()

    def restart(self) -> None:
        self._text.restart()
        if self._network is not None:
            self._network.restart()
        for token in self._healed:
            self.accept(token)

    def _probabilities_after(self, tokens: list[int], token_prefix: bytes) -> PrefixProbabilities:
        self._healed = tokens
        self.restart()
        return PrefixProbabilities(*self._text.prefix_probability(token_prefix, self._next_network_probs()[0]))

    def log_probabilities(
        self, token_prefix: bytes, only_best: bool, min_probability: float = MIN_SAMPLED_PROBABILITY
    ) -> Array:
        probabilities = self._probabilities(token_prefix, only_best, min_probability)
        if only_best and self._network is not None and is_near_tie(probabilities) and self._network.recompute_last():
            probabilities = self._probabilities(token_prefix, only_best, min_probability)
        tokenizer = self._memory.tokenizer
        found = np.full(tokenizer.vocab_size, -np.inf, np.float32)
        possible = np.flatnonzero(probabilities)
        ids = np.append(self._memory.trie.ids, tokenizer.end_of_text)
        found[ids[possible]] = np.log(probabilities[possible])
        return found

    def _probabilities(self, token_prefix: bytes, only_best: bool, min_probability: float) -> Array:
        """Probabilities (number of trie tokens + 1,) of the trie's tokens and of the end of the text."""
        network_probs, end_probability = self._next_network_probs()
        min_probability = 0.0 if only_best else min_probability
        return self._text.probabilities(
            network_probs,
            forced=token_prefix,
            end_probability=end_probability,
            min_probability=min_probability,
            only_best=only_best,
        )

    def gap_costs(self, parts: Sequence[bytes], num_dropped: int = 0) -> list[float]:
        """Cost in bits of each part of a text right after the prompt, by the memory: 10 us a byte.

        The first part includes the prompt's last pre-token, whose last `num_dropped` bytes are left out. Nothing is
        trained on, and the position stays.
        """
        last_pretoken = self._encoded.token_prefix
        kept = last_pretoken[: max(0, len(last_pretoken) - num_dropped)]
        return self._text.costs([kept + parts[0], *parts[1:]])

    def _next_network_probs(self) -> tuple[TokenDistributions, float]:
        """The network's distribution of the next token, and its probability of the end or END_FROM_MEMORY."""
        if self._network is None:
            return NO_DISTRIBUTIONS, END_FROM_MEMORY
        end_of_text = self._memory.tokenizer.end_of_text
        network_probs, ends = token_distributions(self._network.logits[None], self._memory.trie, end_of_text)
        # Only the network was trained on where a fill-in-the-middle text ends.
        return network_probs, float(ends[0]) if self._encoded.suffix_ids else END_FROM_MEMORY

    def accept(self, token: int) -> None:
        self._text.accept(token)
        if self._network is not None:
            drafts = self._max_drafted and not self._network.is_drafted(token)
            self._network.accept(token, self._text.draft(self._max_drafted) if drafts else ())

    def mark(self) -> tuple[Any, SequenceMark | None]:
        return self._text.mark(), self._network.mark() if self._network is not None else None

    def rewind(self, mark: tuple[Any, SequenceMark | None]) -> None:
        self._text.rewind(mark[0])
        if self._network is not None and mark[1] is not None:
            self._network.rewind(mark[1])


def is_near_tie(probabilities: Array) -> bool:
    """Whether the two largest of probabilities (N,) are so close that rounding may decide their order."""
    return bool(np.count_nonzero(probabilities >= probabilities.max() * NEAR_BEST_FACTOR) > 1)
