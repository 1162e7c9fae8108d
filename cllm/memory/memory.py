"""The memory of one repository: what was read, what was learned from it, and a cursor to predict at."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np

from cllm.compiled import Array
from cllm.corpus import Document
from cllm.memory.coder import code
from cllm.memory.contexts import NUM_CONTEXTS
from cllm.memory.decisions import BEGINS, ENDS, INSIDE
from cllm.memory.index import Index, Source
from cllm.memory.journal import new_journal, undo
from cllm.memory.matches import note_places
from cllm.memory.selection import begin_with_network
from cllm.memory.state import NUM_MATCHES, TABLES, Learned, new_decided, new_learned, new_work
from cllm.memory.text import Cursor, begin_text, copy_cursor, new_cursor, place_hashes
from cllm.memory.trie import build_trie
from cllm.tokenizer import Tokenizer

MOST_LINE_BITS, LEAST_LINE_BITS = 23, 15  # 128 MB and 0.5 MB of lines
RUNS_PER_LINE = 4  # as much room for runs
LINES_PER_BYTE = 3  # of text: it asks for many more, but short contexts are few and rare ones make room
MOST_LINES_PER_BYTE = 6 * NUM_CONTEXTS  # that a byte can touch
PIECE_BYTES = 8_192  # are read in a sixth of a second, in which nobody asks whether others need the processor


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
        self.longest = int(tokenizer.token_lengths().max())  # bytes of a token
        self.work, self.decided = new_work(), new_decided(self.longest + 1)
        self._cursor = new_cursor(NUM_MATCHES)
        self.journal = new_journal(learned.lines, 0)
        self.index = Index()
        self._spare: dict[str, Array] | None = None

    @classmethod
    def new(cls, tokenizer: Tokenizer, num_bytes: int) -> Self:
        """One that has read nothing, with as much to learn with as so many bytes of text are worth."""
        text, marks = np.zeros((2, num_bytes), np.uint8)
        return cls(tokenizer, new_learned(*table_sizes(num_bytes)), text, marks, 0)

    def read(self, document: bytes, says: Iterable[NetworkSays] = (), path: str = "") -> float:
        """Learn a document; the bits that it took, each token predicted before it was learned.

        `says`: what a network says of the document's tokens and of its end, in pieces of any length; or nothing.
        `path`: where it is from.
        """
        return sum(self._reading(document, says, path))

    def _reading(self, document: bytes, says: Iterable[NetworkSays], path: str) -> Iterator[float]:
        """Learn a document piece by piece; the bits of each."""
        begin = self._append(document)
        begin_text(self._cursor, begin, place_hashes(path))
        for piece in self._pieces(begin, says):
            yield self.walk(self._cursor, *piece)

    def learning(self, document: Document, content: bytes, says: Iterable[NetworkSays] = ()) -> Iterator[float]:
        """Read a document of the repository, as `read`, and keep in mind where it is from; the bits of each piece."""
        begin = self.size
        yield from self._reading(content, says, document.path)
        self.index.sources.append(source_of(document, begin, self.size - 1))

    def begin_hearing(self) -> None:
        """A network is heard from now on, for the first time."""
        begin_with_network(self.learned.weights)

    def know(self, document: Document, content: bytes) -> None:
        """Have a document of the repository at hand for matches and citing, and learn nothing from it."""
        begin = self._append(content)
        note_places(self.learned, self.text, begin, self.size - 1)
        self.index.sources.append(source_of(document, begin, self.size - 1))

    def study(self, source: Source) -> None:
        """Learn a document that is known."""
        begin_text(self._cursor, source.begin, place_hashes(source.path))
        self.walk(self._cursor, source.begin, source.end + 1, NOTHING)

    def hide(self, path: str) -> None:
        """Look no more at a file as it was read: neither by the index nor by matches."""
        if any(source.path == path and not source.gone for source in self.index.sources):
            self.index.forget(path)
            self.hide_gone()

    def hide_gone(self) -> None:
        """Let matches find nothing of what the index counts as gone."""
        gone = np.zeros(self.size + 1, np.bool_)
        for source in self.index.sources:
            gone[source.begin + 1 : source.end + 1] |= source.gone
        self.learned.match_slots[gone[self.learned.match_slots]] = 0

    def score(self, document: bytes, says: Iterable[NetworkSays] = (), path: str = "") -> float:
        """The bits of a document, as `read`; then it is forgotten."""
        with self.forgetting(len(document)):
            return self.read(document, says, path)

    def _pieces(
        self, begin: int, says: Iterable[NetworkSays], silent: int = 0
    ) -> Iterator[tuple[int, int, NetworkSays]]:
        """Where each piece of what the network says begins and ends in the text that begins at `begin`.

        It says nothing of the first `silent` tokens; of all, where there are no pieces: those are of PIECE_BYTES then.
        """
        starts = [*(begin + np.flatnonzero(self.marks[begin : self.size])).tolist(), self.size]
        number = silent
        if silent:
            yield begin, starts[silent], NOTHING
        for piece in says:
            number += len(piece.certainty)
            assert number < len(starts), "the network speaks of more tokens than there are"
            yield starts[number - len(piece.certainty)], starts[number], piece
        if number == 0:
            for number in range(1, len(starts)):
                if starts[number] - begin >= PIECE_BYTES or number == len(starts) - 1:
                    yield begin, starts[number], NOTHING
                    begin = starts[number]
        else:
            assert starts[number] == self.size, "the network speaks of fewer tokens than there are"

    @contextmanager
    def forgetting(self, most: int) -> Iterator[None]:
        """Forget at the end what was read inside, at most so many bytes."""
        size, index = self.size, Index(self.index.segments, self.index.sources)
        before = self._kept()
        self.journal = new_journal(self.learned.lines, MOST_LINES_PER_BYTE * (most + 1))
        try:
            yield
        finally:
            undo(self.journal, self.learned.lines)
            self.journal = new_journal(self.learned.lines, 0)
            for name, array in before.items():
                getattr(self.learned, name)[...] = array
            self._spare = before
            self.size, self.index = size, index

    def _kept(self) -> dict[str, Array]:
        """A copy of all that is learned but the tables, in the last one's room: 1.4 ms, in new room 5.3 (28 MB)."""
        arrays = {name: array for name, array in self.learned._asdict().items() if name not in TABLES}
        kept, self._spare = self._spare or {name: np.empty_like(array) for name, array in arrays.items()}, None
        for name, array in arrays.items():
            kept[name][...] = array
        return kept

    def read_beginning(
        self, ids: Sequence[int], says: Iterable[NetworkSays] = (), silent: int = 0, path: str = ""
    ) -> Cursor:
        """Learn the beginning of a text that goes on after these tokens; a cursor that stands there.

        `says`: what a network says of all of these tokens but the first `silent`; or nothing. `path`: of its file.
        """
        begin_text(self._cursor, self.size, place_hashes(path))
        return self._read_on(ids, says, silent)

    def read_more(self, cursor: Cursor, ids: Sequence[int], says: Iterable[NetworkSays] = ()) -> Cursor:
        """Learn more of a beginning, at whose end the cursor stands, as if it had been read with it; another cursor."""
        copy_cursor(cursor, self._cursor)
        return self._read_on(ids, says, 0)

    def _read_on(self, ids: Sequence[int], says: Iterable[NetworkSays], silent: int) -> Cursor:
        begin = self.lay(ids)
        if ids:
            for piece in self._pieces(begin, says, silent):
                self.walk(self._cursor, *piece)
        cursor = new_cursor(NUM_MATCHES)
        copy_cursor(self._cursor, cursor)
        return cursor

    def chances(self, prefix: bytes, says: NetworkSays = NOTHING) -> Array:
        """The chance of each token of the trie (V,), and last of the text's end, after the tokens of a prefix.

        A walk for each token, from the beginning: the slow twin of `search.next_tokens`, for tests. `says` is about the
        prefix's tokens and the next one.
        """
        ids = self.tokenizer.encode(prefix)
        next_says = NetworkSays(says.cumulative[len(ids) :], says.certainty[len(ids) :])
        before = [NetworkSays(says.cumulative[: len(ids)], says.certainty[: len(ids)])] if len(says.certainty) else []
        bits = []
        with self.forgetting(len(prefix)):
            cursor = self.read_beginning(ids, before)
            self.make_room(self.longest)
            after = self.size
            for token in [*self.trie.ids.tolist(), None]:
                self._put_token(after, token)
                copy_cursor(cursor, self._cursor)
                bits.append(self.walk(self._cursor, after, self.size, next_says, False))
        chances: Array = np.exp2(-np.array(bits))
        return chances

    def _put_token(self, position: int, token: int | None) -> None:
        """Lay a token, or the end of the text, at a position, and end there."""
        content = b"\0" if token is None else self.tokenizer.token_bytes(token)
        self.size = position + len(content)
        self.text[position : self.size] = np.frombuffer(content, np.uint8)
        self.marks[position : self.size] = INSIDE
        self.marks[position] = ENDS if token is None else BEGINS

    def walk(self, cursor: Cursor, begin: int, end: int, says: NetworkSays, learning: bool = True) -> float:
        """The bits of a stretch of the text (`coder.code`); the cursor moves along."""
        return code(
            self.learned,
            self.journal,
            self.work,
            self.decided,
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

    def _append(self, document: bytes) -> int:
        """Lay a document and its end behind all text; where it begins."""
        begin = self.lay(self.tokenizer.encode(document))
        self.make_room(1)
        self.text[self.size], self.marks[self.size] = 0, ENDS
        self.size += 1
        return begin

    def lay(self, ids: Sequence[int]) -> int:
        """Lay tokens behind all text, unread; where they begin."""
        content = self.tokenizer.decode(ids)
        begin = self.size
        self.make_room(len(content))
        self.size = begin + len(content)
        self.text[begin : self.size] = np.frombuffer(content, np.uint8)
        self.marks[begin : self.size] = token_marks(self.tokenizer, ids)
        return begin

    def put(self, text: Array, marks: Array) -> None:
        """Lay text with its marks behind all text, and let matches find it."""
        begin = self.size
        self.make_room(len(text))
        self.size = begin + len(text)
        self.text[begin : self.size], self.marks[begin : self.size] = text, marks
        note_places(self.learned, self.text, begin, self.size)

    def make_room(self, num_bytes: int) -> None:
        """Let so many bytes fit behind all text."""
        if self.size + num_bytes > len(self.text):
            more = np.zeros(self.size // 8 + num_bytes, np.uint8)  # an eighth more, so that it is seldom made
            self.text, self.marks = np.concatenate([self.text, more]), np.concatenate([self.marks, more])


def source_of(document: Document, begin: int, end: int) -> Source:
    """Where a document lies, which stands at `begin` to `end` of the memory's text."""
    first_line = document.lines[0] if document.lines else 1
    return Source(path=document.path, sha256=document.sha256, begin=begin, end=end, first_line=first_line)


def token_marks(tokenizer: Tokenizer, ids: Sequence[int]) -> Array:
    """For each byte of some tokens whether a token begins with it (`decisions.BEGINS`)."""
    lengths = tokenizer.token_lengths()[np.array(ids, np.int64)]
    marks = np.zeros(int(lengths.sum()), np.uint8)
    marks[np.cumsum(lengths) - lengths] = BEGINS
    return marks


def table_sizes(num_bytes: int) -> tuple[int, int]:
    """How many lines and runs there are for so much text."""
    wanted = math.ceil(math.log2(max(1, num_bytes * LINES_PER_BYTE)))
    lines = 1 << min(max(wanted, LEAST_LINE_BITS), MOST_LINE_BITS)
    return lines, RUNS_PER_LINE * lines
