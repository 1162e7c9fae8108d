"""The memory of one repository: what was read, what was learned from it, and a cursor to predict at."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np

from cllm.memory.compiled import Array
from cllm.memory.journal import new_journal, undo
from cllm.memory.predictor import BEGINS, ENDS, INSIDE, code, code_tokens
from cllm.memory.state import LINE_BYTES, NUM_MATCHES, Learned, new_learned, new_work
from cllm.memory.text import Cursor, begin_text, copy_cursor, new_cursor
from cllm.memory.trie import build_trie
from cllm.tokenizer import Tokenizer

MOST_LINE_BITS, LEAST_LINE_BITS = 24, 16  # 256 MB and 1 MB of lines
LINES_PER_BYTE = 6  # of text: it asks for many more, but short contexts are few and rare ones make room
MOST_LINES_PER_BYTE = 128  # that a byte can touch: three for each context, and some


class NetworkSays(NamedTuple):
    """A network's distributions over some tokens, one after another, in the memory's terms.

    `cumulative` (N, V + 1) fp32: sums over the sorted vocabulary. `certainty` (N,) uint8: the largest, in eighths.
    """

    cumulative: Array
    certainty: Array


NOTHING = NetworkSays(np.zeros((0, 0), np.float32), np.zeros(0, np.uint8))


class Memory:
    """Reads documents, each predicted before it is learned. Made by `Memory.new` or `store.load_memory`."""

    def __init__(self, tokenizer: Tokenizer, learned: Learned, text: Array, marks: Array, size: int) -> None:
        """`text` and `marks` hold what was read so far in their first `size` places; the room grows as it must."""
        self.tokenizer, self.learned = tokenizer, learned
        self.text, self.marks, self.size = text, marks, size
        self.trie = build_trie(tokenizer)
        self._work, self._cursor, self._ahead = new_work(), new_cursor(NUM_MATCHES), new_cursor(NUM_MATCHES)
        self._journal = new_journal(learned.lines, 0)

    @classmethod
    def new(cls, tokenizer: Tokenizer, num_bytes: int) -> Self:
        """One that has read nothing, with as much to learn with as so many bytes of text are worth."""
        text, marks = np.zeros((2, num_bytes), np.uint8)
        return cls(tokenizer, new_learned(line_bits(num_bytes)), text, marks, 0)

    def read(self, document: bytes, says: Iterable[NetworkSays] = ()) -> float:
        """Learn a document; the bits that it took, each of its decisions predicted before it was learned.

        `says`: what a network says of the document's tokens and of its end, in pieces of any length; or nothing.
        """
        begin = self._append(document)
        begin_text(self._cursor, begin)
        return sum(self._walk(self._cursor, *piece, True) for piece in self._pieces(begin, says))

    def score(self, document: bytes, says: Iterable[NetworkSays] = ()) -> float:
        """The bits of a document, each token predicted before it is learned; then the document is forgotten."""
        with self.forgetting(len(document)):
            begin = self._append(document)
            begin_text(self._cursor, begin)
            return sum(self._walk_tokens(*piece) for piece in self._pieces(begin, says))

    def _pieces(self, begin: int, says: Iterable[NetworkSays]) -> Iterator[tuple[int, int, NetworkSays]]:
        """Where each piece of what the network says begins and ends in the text; all of it, where it says nothing."""
        starts: Array | None = None
        number = 0
        for piece in says:
            if starts is None:
                starts = begin + np.flatnonzero(self.marks[begin : self.size])
            number += len(piece.certainty)
            assert number <= len(starts), "the network speaks of more tokens than there are"
            end = int(starts[number]) if number < len(starts) else self.size
            yield begin, end, piece
            begin = end
        assert starts is None or begin == self.size, "the network speaks of fewer tokens than there are"
        if starts is None:
            yield begin, self.size, NOTHING

    @contextmanager
    def forgetting(self, most: int) -> Iterator[None]:
        """Forget at the end what was read inside, at most so many bytes."""
        size = self.size
        before = {name: array.copy() for name, array in self.learned._asdict().items() if name != "lines"}
        self._journal = new_journal(self.learned.lines, MOST_LINES_PER_BYTE * (most + 1))
        try:
            yield
        finally:
            undo(self._journal, self.learned.lines)
            self._journal = new_journal(self.learned.lines, 0)
            for name, array in before.items():
                getattr(self.learned, name)[...] = array
            self.size = size

    def chances(self, prefix: bytes, says: NetworkSays = NOTHING) -> Array:
        """The chance of each token of the trie (V,), and last of the text's end, after the tokens of a prefix.

        Written out in full, which takes a walk for each token: for tests. `says` is about the prefix's tokens and the
        next one.
        """
        tokens = len(self.tokenizer.encode(prefix))
        next_says = NetworkSays(says.cumulative[tokens:], says.certainty[tokens:])
        bits = []
        with self.forgetting(len(prefix)):
            begin = self._append(prefix)
            self.size -= 1  # the prefix is no whole text
            begin_text(self._cursor, begin)
            self._walk(self._cursor, begin, self.size, says, True)
            after = self.size
            for token in [*self.trie.ids.tolist(), None]:
                self._put_token(after, token)
                copy_cursor(self._cursor, self._ahead)
                bits.append(self._walk(self._ahead, after, self.size, next_says, False))
        chances: Array = np.exp2(-np.array(bits))
        return chances

    def _put_token(self, position: int, token: int | None) -> None:
        """Lay a token, or the end of the text, at a position, and end there."""
        content = b"\0" if token is None else self.tokenizer.token_bytes(token)
        self.size = position + len(content)
        self.text[position : self.size] = np.frombuffer(content, np.uint8)
        self.marks[position : self.size] = INSIDE
        self.marks[position] = ENDS if token is None else BEGINS

    def _walk(self, cursor: Cursor, begin: int, end: int, says: NetworkSays, learning: bool) -> float:
        return code(
            self.learned,
            self._journal,
            self._work,
            cursor,
            self.trie,
            self.text,
            self.marks,
            begin,
            end,
            says.cumulative,
            says.certainty,
            learning,
        )

    def _walk_tokens(self, begin: int, end: int, says: NetworkSays) -> float:
        return code_tokens(
            self.learned,
            self._journal,
            self._work,
            self._cursor,
            self._ahead,
            self.trie,
            self.text,
            self.marks,
            begin,
            end,
            says.cumulative,
            says.certainty,
        )

    def _append(self, document: bytes) -> int:
        begin, end = self.size, self.size + len(document)
        if end >= len(self.text):
            more = np.zeros(end, np.uint8)  # twice the room or more, so that it is seldom made
            self.text, self.marks = np.concatenate([self.text, more]), np.concatenate([self.marks, more])
        self.text[begin:end] = np.frombuffer(document, np.uint8)
        self.text[end] = 0
        self.marks[begin:end] = token_marks(self.tokenizer, document)
        self.marks[end] = ENDS
        self.size = end + 1
        return begin


def token_marks(tokenizer: Tokenizer, document: bytes) -> Array:
    """For each byte whether a token begins with it (`predictor.BEGINS`)."""
    lengths = tokenizer.token_lengths()[np.array(tokenizer.encode(document), np.int64)]
    marks = np.zeros(len(document), np.uint8)
    marks[(np.cumsum(lengths) - lengths).astype(np.int64)] = BEGINS
    return marks


def line_bits(num_bytes: int) -> int:
    """The size of the table of lines, as a power of two, for so much text."""
    wanted = math.ceil(math.log2(max(1, num_bytes * LINES_PER_BYTE)))
    return min(max(wanted, LEAST_LINE_BITS), MOST_LINE_BITS)


assert LINE_BYTES == 16
