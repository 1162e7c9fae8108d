"""Predictors of the next token: the network, the memory, or the memory with the network's distributions as input."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from copy import copy
from typing import Any, NamedTuple, Protocol

import numpy as np

from cllm.background_iterator import background_iterator
from cllm.generation.predict.healing import PrefixProbabilities, heal
from cllm.generation.predict.network import Network
from cllm.generation.predict.prompt import EncodedPrompt
from cllm.generation.predict.sample_batch import SampleBatch, SampleSequence
from cllm.generation.predict.sampling import log_softmax
from cllm.generation.predict.sequence import NetworkSequence, PromptCheckpoint, SequenceMark
from cllm.jit.compiled import Array
from cllm.memory.continuation import END_FROM_MEMORY, Continuation
from cllm.memory.distributions import to_token_distributions, token_distributions
from cllm.memory.memory import Checkpoint, Memory
from cllm.memory.mixer.search import NEAR_BEST_FACTOR
from cllm.memory.mixer.text_state import TextState
from cllm.memory.mixer.trie import NO_DISTRIBUTIONS, TokenDistributions
from cllm.tokenizer import Tokenizer

# Tokens below this probability are not sampled: on libuv they have 0.2% together. Finding the tokens above it takes
# 1.4 ms, finding all takes 290 ms (2026-11-24).
MIN_SAMPLED_PROBABILITY = 1e-5
MAX_DRAFTED = 4  # tokens per draft
PREFETCHED_CHUNKS = 4  # chunks of the prompt's token distributions that are computed ahead
MAX_EXTENSION_BYTES = 1 << 12  # bytes by which a prompt may grow before it is prefilled anew


MAX_CHECKPOINTS = 2  # places of a prompt from which its end can be changed
MAX_EDITED_BYTES, EDITED_LINES = 256, 1  # before the cursor: the first checkpoint is this far away at most


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


class PrefixCheckpoint(NamedTuple):
    """State after the first `num_ids` of a prompt's prefix, when `bytes_left` more could be appended."""

    num_ids: int
    bytes_left: int
    text: tuple[Checkpoint, TextState]
    network: PromptCheckpoint | None


class MemoryPredictor:
    """Predicts by the memory, with the network's distributions as input if there is a network.

    Shapes as in `Predictor`.
    """

    def __init__(
        self,
        memory: Memory,
        network: NetworkSequence | None,
        encoded: EncodedPrompt,
        max_drafted: int = MAX_DRAFTED,
        *,
        is_editable: bool = False,
    ) -> None:
        """`network` must be empty. It decodes up to `max_drafted` tokens that the memory proposes with each token.

        `is_editable`: the prompt's end can be changed (`move_to`); that takes 28 MB of memory a checkpoint.
        """
        self._memory, self._network, self._encoded, self._max_drafted = memory, network, encoded, max_drafted
        self._exit_stack, self._bytes_left, self._is_editable = ExitStack(), 0, is_editable
        self._checkpoints = list[PrefixCheckpoint]()

    def __enter__(self) -> "MemoryPredictor":
        try:
            return self._enter()
        except BaseException:
            self._exit_stack.close()
            raise

    def _enter(self) -> "MemoryPredictor":
        memory, encoded, path = self._memory, self._encoded, self._encoded.path or ""
        num_prompt_bytes = memory.tokenizer.token_lengths()[[*encoded.prefix_ids, *encoded.suffix_ids]].sum()
        max_bytes = int(num_prompt_bytes) + MAX_EXTENSION_BYTES + 1
        self._exit_stack.enter_context(memory.rollback_on_exit(max_bytes, has_checkpoints=self._is_editable))
        self._exit_stack.callback(self._drop_checkpoints)
        self._bytes_left = MAX_EXTENSION_BYTES
        if encoded.path is not None:  # the file's old version would match best and predict the old text
            memory.exclude_file(encoded.path)
        num_last = self._num_last_ids() if self._is_editable else 0
        num_first = len(encoded.prefix_ids) - num_last
        network_ids = encoded.network_ids[: len(encoded.network_ids) - num_last]
        network_probs = background_iterator(
            self._prefill_probs(network_ids, encoded.num_predicted - num_last), PREFETCHED_CHUNKS
        )  # starts now, in a background thread
        if encoded.suffix_ids:  # the rest of the file is prefilled as if it were a file before this one
            memory.prefill(encoded.suffix_ids, path=path)
        num_without_network = len(encoded.prefix_ids) - encoded.num_predicted if self._network is not None else 0
        self._text = Continuation(memory, encoded.prefix_ids[:num_first], network_probs, num_without_network, path)
        for _ in network_probs:
            raise AssertionError("the network yields distributions for more tokens than the prompt has")
        if num_last:
            self._add_checkpoint(num_first)
            self._append(encoded.prefix_ids[num_first:])
        self._find_context()
        return self

    def _num_last_ids(self) -> int:
        """Number of the prefix's ids from the start of the line before the cursor's on: the next edit is there."""
        ids, num_bytes, num_lines = self._encoded.prefix_ids[1:], 0, 0
        if self._network is not None:
            ids = ids[max(0, len(ids) + 1 - self._encoded.num_predicted) :]
        for number, id_ in enumerate(reversed(ids)):
            content = self._memory.tokenizer.token_bytes(id_)
            num_lines, num_bytes = num_lines + content.count(b"\n"), num_bytes + len(content)
            if num_lines > EDITED_LINES or num_bytes > MAX_EDITED_BYTES:
                return number
        return len(ids)

    def _prefill_probs(self, ids: list[int], num_logits: int) -> Iterator[TokenDistributions]:
        """Yield the network's distributions of the last `num_logits` ids, while it prefills `ids`."""
        if self._network is None:
            return iter(())
        return to_token_distributions(self._network.prefill(ids, num_logits), self._memory.trie)

    def _append(self, ids: list[int]) -> None:
        """Append ids to the prompt that has been prefilled."""
        self._text.extend(ids, self._prefill_probs(ids, len(ids)))

    def _add_checkpoint(self, num_ids: int) -> None:
        """Keep the current state, after the prefix's first `num_ids`; only the last MAX_CHECKPOINTS are kept."""
        if len(self._checkpoints) == MAX_CHECKPOINTS:
            self._drop_checkpoints(0, 1)
        network = self._network.prompt_checkpoint() if self._network is not None else None
        self._checkpoints.append(PrefixCheckpoint(num_ids, self._bytes_left, self._text.checkpoint(), network))

    def _drop_checkpoints(self, begin: int = 0, end: int | None = None) -> None:
        """Drop some of the checkpoints, all by default, so that the memory can reuse their arrays."""
        for checkpoint in self._checkpoints[begin:end]:
            self._memory.release(checkpoint.text[0])
        del self._checkpoints[begin:end]

    def move_to(self, encoded: EncodedPrompt) -> bool:
        """Change the prompt's end, as if the other prompt had been prefilled at once; return whether this was possible.

        The prompts must agree up to a checkpoint, or the other begin with this one; have the same suffix and path; and
        the other must fit the reserved space.
        """
        old, num_kept, bytes_left = self._encoded, len(self._encoded.prefix_ids), self._bytes_left
        checkpoint = None
        if encoded.prefix_ids[:num_kept] != old.prefix_ids:
            if (checkpoint := self._last_checkpoint_within(encoded)) is None:
                return False
            num_kept, bytes_left = checkpoint.num_ids, checkpoint.bytes_left
        more, num_dropped = encoded.prefix_ids[num_kept:], len(old.prefix_ids) - num_kept
        num_bytes = int(self._memory.tokenizer.token_lengths()[more].sum())
        is_possible = num_bytes <= bytes_left and (encoded.suffix_ids, encoded.path) == (old.suffix_ids, old.path)
        if self._network is not None:
            network_ids = [*old.network_ids[: len(old.network_ids) - num_dropped], *more]
            is_possible &= encoded.network_ids == network_ids and self._network.has_capacity(len(more) - num_dropped)
        if not is_possible:
            return False
        if checkpoint is not None:
            self._return_to(checkpoint)
        elif self._is_editable and more and self._is_far_from_checkpoint():
            self._add_checkpoint(num_kept)
        if more:
            self._append(more)
        self._encoded, self._bytes_left = encoded, bytes_left - num_bytes
        self._find_context(is_new=bool(more) or num_dropped > 0)
        return True

    def _last_checkpoint_within(self, encoded: EncodedPrompt) -> PrefixCheckpoint | None:
        """The last checkpoint up to which another prompt's prefix agrees with this one's."""
        old, new = self._encoded.prefix_ids, encoded.prefix_ids
        agreeing = (each for each in reversed(self._checkpoints) if new[: each.num_ids] == old[: each.num_ids])
        return next(agreeing, None)

    def _return_to(self, checkpoint: PrefixCheckpoint) -> None:
        """Return to a checkpoint, and drop those after it."""
        while self._checkpoints[-1] is not checkpoint:
            self._drop_checkpoints(-1)
        self._text.return_to(checkpoint.text)
        if self._network is not None and checkpoint.network is not None:
            self._network.return_to(checkpoint.network)

    def _is_far_from_checkpoint(self) -> bool:
        """Whether the text since the last checkpoint is so long that to prefill it again would take long."""
        begin = self._checkpoints[-1].num_ids if self._checkpoints else 0
        return int(self._memory.tokenizer.token_lengths()[self._encoded.prefix_ids[begin:]].sum()) > MAX_EDITED_BYTES

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
