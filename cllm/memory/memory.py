"""The memory of one repository: its text, the trained mixer state, and the text state at which it predicts."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np

from cllm.corpus import Document
from cllm.jit.compiled import Array
from cllm.memory.index.index import Index, Source
from cllm.memory.mixer.arrays import MemoryArrays
from cllm.memory.mixer.coder import code_span
from cllm.memory.mixer.contexts import NUM_CONTEXTS
from cllm.memory.mixer.decisions import MARK_BEGIN, MARK_END
from cllm.memory.mixer.journal import begin_section, new_journal, rollback
from cllm.memory.mixer.matches import insert_matches
from cllm.memory.mixer.selection import init_network_rows
from cllm.memory.mixer.state import (
    NUM_MATCHES,
    TABLES,
    MixerState,
    new_context_state,
    new_mixer_state,
    new_prediction_trace,
)
from cllm.memory.mixer.text_state import TextState, copy_text_state, new_text_state, path_hashes, reset_text_state
from cllm.memory.mixer.trie import NO_DISTRIBUTIONS, TokenDistributions, build_trie
from cllm.tokenizer import Tokenizer

MAX_SLOT_BITS, MIN_SLOT_BITS = 23, 15  # 128 MB and 0.5 MB of slots
RUNS_PER_SLOT = 4  # the runs take as many bytes as the slots
SLOTS_PER_BYTE = 3  # per byte of text, which touches many more: short contexts are shared, rare ones are evicted
MAX_SLOTS_PER_BYTE = 6 * NUM_CONTEXTS  # upper bound of the slots that one byte of text changes
CHUNK_BYTES = 8_192  # train in a sixth of a second, during which the worker does not yield the processor


class Checkpoint(NamedTuple):
    """State of a memory to which it can return: sizes of its text and journal, and arrays that are not in the journal.

    28 MB for a repository of 3 MB.
    """

    size: int
    journal_size: int
    arrays: dict[str, Array]


class Memory:
    """Online model of a repository's text: each token is predicted, then trained on.

    Made by `Memory.new` or `store.load_memory`.
    """

    def __init__(self, tokenizer: Tokenizer, state: MixerState, text: Array, token_marks: Array, size: int) -> None:
        """Use the first `size` elements of `text` and `token_marks`, (N,) uint8 each; both grow as needed."""
        self.tokenizer, self.state = tokenizer, state
        self.text, self.token_marks, self.size = text, token_marks, size
        self.trie = build_trie(tokenizer)
        self.max_token_bytes = int(tokenizer.token_lengths().max())  # of one token
        self.context_state, self.trace = new_context_state(), new_prediction_trace(self.max_token_bytes + 1)
        self._text_state = new_text_state(NUM_MATCHES)
        self.journal = new_journal(state.slots, 0)
        self.index = Index()
        self._free_snapshots: list[dict[str, Array]] = []

    @classmethod
    def new(cls, tokenizer: Tokenizer, num_bytes: int) -> Self:
        """An untrained memory with tables sized for `num_bytes` of text."""
        text, token_marks = np.zeros((2, num_bytes), np.uint8)
        return cls(tokenizer, new_mixer_state(*table_sizes(num_bytes)), text, token_marks, 0)

    @property
    def arrays(self) -> MemoryArrays:
        """The arrays that the kernels work on; valid until the text's buffers grow."""
        return MemoryArrays(self.state, self.context_state, self.trace, self.text, self.token_marks)

    def train_on(self, document: bytes, network_probs: Iterable[TokenDistributions] = (), path: str = "") -> float:
        """Train on a document; returns its cost in bits, each token predicted before it is trained on.

        `network_probs`: a network's distributions of the document's tokens and its end, in chunks of any length;
        empty to train without a network. `path`: the document's file.
        """
        return sum(self._train_in_chunks(self.tokenizer.encode(document), network_probs, path))

    def _train_in_chunks(
        self, ids: Sequence[int], network_probs: Iterable[TokenDistributions], path: str
    ) -> Iterator[float]:
        """Train on a document's ids chunk by chunk; yields the cost of each in bits."""
        begin = self._append_document(ids)
        reset_text_state(self._text_state, begin, path_hashes(path))
        for chunk in self._chunks(begin, network_probs):
            yield self.run_coder(self._text_state, *chunk)

    def add_document(
        self, document: Document, ids: Sequence[int], network_probs: Iterable[TokenDistributions] = ()
    ) -> Iterator[float]:
        """Train on a document's ids, as `train_on`, and index it as a source; yields the cost of each chunk in bits."""
        begin = self.size
        yield from self._train_in_chunks(ids, network_probs, document.path)
        self.index.sources.append(source_of(document, begin, self.size - 1))

    def init_network_weights(self) -> None:
        """Initialise the mixer weights that network distributions select; call once, before the first are used."""
        init_network_rows(self.state.weights)

    def index_document(self, document: Document, ids: Sequence[int]) -> None:
        """Make a document, given by its ids, available to matches and citations without training on it."""
        begin = self._append_document(ids)
        insert_matches(self.state.match_slots, self.text, begin, self.size - 1)
        self.index.sources.append(source_of(document, begin, self.size - 1))

    def train_on_indexed(self, source: Source) -> None:
        """Train on a document that `index_document` has added."""
        reset_text_state(self._text_state, source.begin, path_hashes(source.path))
        self.run_coder(self._text_state, source.begin, source.end + 1, NO_DISTRIBUTIONS)

    def exclude_file(self, path: str) -> None:
        """Exclude a file's indexed content from the index and from matches."""
        if any(source.path == path and not source.is_stale for source in self.index.sources):
            self.index.mark_stale(path)
            self.drop_stale_matches()

    def drop_stale_matches(self) -> None:
        """Remove the match positions that lie in stale sources."""
        is_stale = np.zeros(self.size + 1, np.bool_)
        for source in self.index.sources:
            is_stale[source.begin + 1 : source.end + 1] |= source.is_stale
        self.state.match_slots[is_stale[self.state.match_slots]] = 0

    def score(self, document: bytes, network_probs: Iterable[TokenDistributions] = (), path: str = "") -> float:
        """Cost of a document in bits, as `train_on`; the memory is then rolled back."""
        with self.rollback_on_exit(len(document)):
            return self.train_on(document, network_probs, path)

    def _chunks(
        self, begin: int, network_probs: Iterable[TokenDistributions], num_without_network: int = 0
    ) -> Iterator[tuple[int, int, TokenDistributions]]:
        """(begin, end, distributions) of each chunk of the text that begins at `begin`.

        The first `num_without_network` tokens have no distributions. If `network_probs` is empty, no token has any,
        and the chunks are of CHUNK_BYTES.
        """
        starts = [*(begin + np.flatnonzero(self.token_marks[begin : self.size])).tolist(), self.size]
        number = num_without_network
        if num_without_network:
            yield begin, starts[num_without_network], NO_DISTRIBUTIONS
        for chunk in network_probs:
            number += len(chunk.confidence)
            assert number < len(starts), "the network has distributions of more tokens than the text has"
            yield starts[number - len(chunk.confidence)], starts[number], chunk
        if number == 0:
            for number in range(1, len(starts)):
                if starts[number] - begin >= CHUNK_BYTES or number == len(starts) - 1:
                    yield begin, starts[number], NO_DISTRIBUTIONS
                    begin = starts[number]
        else:
            assert starts[number] == self.size, "the network has distributions of fewer tokens than the text has"

    @contextmanager
    def rollback_on_exit(self, max_bytes: int, *, has_checkpoints: bool = False) -> Iterator[None]:
        """Context manager that undoes, on exit, all training on at most `max_bytes` of text.

        `has_checkpoints`: `checkpoint` may be called in it.
        """
        index = Index(self.index.segments, self.index.sources)
        capacity = MAX_SLOTS_PER_BYTE * (max_bytes + 1)
        self.journal = new_journal(self.state.slots, capacity, has_sections=has_checkpoints)
        before = self.checkpoint()
        try:
            yield
        finally:
            self.return_to(before)
            self.release(before)
            self.journal = new_journal(self.state.slots, 0)
            self.index = index

    def checkpoint(self) -> Checkpoint:
        """The current state, without the index: 1.4 ms, or 5.3 ms if none was released before."""
        arrays = {name: array for name, array in self.state._asdict().items() if name not in TABLES}
        if self._free_snapshots:
            copies = self._free_snapshots.pop()
        else:
            copies = {name: np.empty_like(array) for name, array in arrays.items()}
        for name, array in arrays.items():
            copies[name][...] = array
        return Checkpoint(self.size, begin_section(self.journal), copies)

    def return_to(self, checkpoint: Checkpoint) -> None:
        """Return to a state before this one, since which only text was trained on."""
        rollback(self.journal, self.state.slots, checkpoint.journal_size)
        for name, array in checkpoint.arrays.items():
            getattr(self.state, name)[...] = array
        self.size = checkpoint.size

    def release(self, checkpoint: Checkpoint) -> None:
        """Reuse the arrays of a checkpoint that is no longer needed."""
        self._free_snapshots.append(checkpoint.arrays)

    def prefill(
        self,
        ids: Sequence[int],
        network_probs: Iterable[TokenDistributions] = (),
        num_without_network: int = 0,
        path: str = "",
    ) -> TextState:
        """Train on a prompt that is to be continued; returns the text state after it.

        `network_probs`: a network's distributions of all prompt tokens except the first `num_without_network`, or
        empty. `path`: the prompt's file.
        """
        reset_text_state(self._text_state, self.size, path_hashes(path))
        return self._prefill(ids, network_probs, num_without_network)

    def extend_prefill(
        self, text_state: TextState, ids: Sequence[int], network_probs: Iterable[TokenDistributions] = ()
    ) -> TextState:
        """Extend a prompt that ends at `text_state`; returns a new text state, as if all had been prefilled at once."""
        copy_text_state(text_state, self._text_state)
        return self._prefill(ids, network_probs, 0)

    def _prefill(
        self, ids: Sequence[int], network_probs: Iterable[TokenDistributions], num_without_network: int
    ) -> TextState:
        begin = self.append_tokens(ids)
        if ids:
            for chunk in self._chunks(begin, network_probs, num_without_network):
                self.run_coder(self._text_state, *chunk)
        text_state = new_text_state(NUM_MATCHES)
        copy_text_state(self._text_state, text_state)
        return text_state

    def run_coder(
        self, text_state: TextState, begin: int, end: int, network_probs: TokenDistributions, is_learning: bool = True
    ) -> float:
        """Cost in bits of the text from `begin` to `end` (`coder.code_span`); `text_state` advances to `end`."""
        return code_span(self.arrays, self.journal, self.trie, text_state, begin, end, network_probs, is_learning)

    def _append_document(self, ids: Sequence[int]) -> int:
        """Append a document and its end mark to the text; returns its begin."""
        begin = self.append_tokens(ids)
        self.reserve(1)
        self.text[self.size], self.token_marks[self.size] = 0, MARK_END
        self.size += 1
        return begin

    def append_tokens(self, ids: Sequence[int]) -> int:
        """Append tokens to the text without training on them; returns their begin."""
        content = self.tokenizer.decode(ids)
        begin = self.size
        self.reserve(len(content))
        self.size = begin + len(content)
        self.text[begin : self.size] = np.frombuffer(content, np.uint8)
        self.token_marks[begin : self.size] = mark_tokens(self.tokenizer, ids)
        return begin

    def append_text(self, text: Array, token_marks: Array) -> None:
        """Append text and its marks, (N,) uint8 each, and make the text available to matches."""
        begin = self.size
        self.reserve(len(text))
        self.size = begin + len(text)
        self.text[begin : self.size], self.token_marks[begin : self.size] = text, token_marks
        insert_matches(self.state.match_slots, self.text, begin, self.size)

    def reserve(self, num_bytes: int) -> None:
        """Grow the buffers so that `num_bytes` fit after the text."""
        if self.size + num_bytes > len(self.text):
            more = np.zeros(self.size // 8 + num_bytes, np.uint8)  # grows by an eighth, so that copies are rare
            self.text, self.token_marks = np.concatenate([self.text, more]), np.concatenate([self.token_marks, more])


def source_of(document: Document, begin: int, end: int) -> Source:
    """The index source of a document at `begin` to `end` of the memory's text."""
    first_line = document.lines[0] if document.lines else 1
    return Source(path=document.path, sha256=document.sha256, begin=begin, end=end, first_line=first_line)


def mark_tokens(tokenizer: Tokenizer, ids: Sequence[int]) -> Array:
    """Marks (N,) uint8 of the N bytes of tokens: MARK_BEGIN at each token's first byte, else MARK_INSIDE."""
    lengths = tokenizer.token_lengths()[np.array(ids, np.int64)]
    token_marks = np.zeros(int(lengths.sum()), np.uint8)
    token_marks[np.cumsum(lengths) - lengths] = MARK_BEGIN
    return token_marks


def table_sizes(num_bytes: int) -> tuple[int, int]:
    """Number of slots and number of runs for `num_bytes` of text."""
    slot_bits = math.ceil(math.log2(max(1, num_bytes * SLOTS_PER_BYTE)))
    slots = 1 << min(max(slot_bits, MIN_SLOT_BITS), MAX_SLOT_BITS)
    return slots, RUNS_PER_SLOT * slots
