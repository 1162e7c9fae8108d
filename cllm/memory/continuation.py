"""A text that goes on: from its beginning, which the memory reads, to the chances of what comes next, token by token.

What is proposed is not learned from: the memory learns what a person wrote.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from cllm.compiled import Array
from cllm.memory.agreement import agreeing_place
from cllm.memory.drafts import draft
from cllm.memory.index import LONGEST_CONTEXT, Index, Source
from cllm.memory.memory import NOTHING, Memory, NetworkSays
from cllm.memory.search import BRANCHES_PER_BYTE, begins_with, next_tokens, pass_token
from cllm.memory.state import NUM_MATCHES
from cllm.memory.text import Cursor, copy_cursor, new_cursor

FROM_MEMORY = -1.0  # for the chance that a text ends


class Continuation:
    """Stands behind the text so far. `restart` goes back behind the beginning."""

    def __init__(
        self, memory: Memory, ids: Sequence[int], says: Iterable[NetworkSays] = (), silent: int = 0, path: str = ""
    ) -> None:
        """Read the beginning (as `Memory.read_beginning`); use it inside of `memory.forgetting`."""
        self._memory, self._begin = memory, memory.size
        self._read = memory.read_beginning(ids, says, silent, path)
        self._first, self._index = self._read, Index(memory.index.segments, memory.index.sources)
        self._room = memory.longest + 1
        self._cursors = new_cursor(NUM_MATCHES, self._room + 1)
        self._branches = np.zeros((BRANCHES_PER_BYTE * self._room, 5), np.int64)
        self._branch_chances = np.zeros(len(self._branches))
        self._chances = np.zeros(len(memory.trie.ids) + 1)
        self.restart()

    def restart(self) -> None:
        """Stand behind the beginning again."""
        self._position = self._memory.size
        self.cursor = new_cursor(NUM_MATCHES)
        copy_cursor(self._first, self.cursor)

    def extend(self, ids: Sequence[int], says: Iterable[NetworkSays] = ()) -> None:
        """Let the beginning go on; what was looked for around it is to be looked for again."""
        self._memory.index = Index(self._index.segments, self._index.sources)
        self._first = self._read = self._memory.read_more(self._read, ids, says)
        self.restart()

    def look_around(self, after: bytes) -> None:
        """Begin with the place that agrees most with the text here and what comes after it, if any does: as a match.

        It is as sure as one that is longer by what comes after.
        """
        memory = self._memory
        memory.index.sources.append(Source(path="", sha256="", begin=self._begin, end=memory.size))
        # The last place is left out: it is the cursor itself, which agrees with all that is before it.
        memory.index.sort(memory.text, self._begin, max(self._begin, memory.size - 1))
        before = memory.text[self._begin : memory.size][-LONGEST_CONTEXT:].tobytes()
        if (found := agreeing_place(memory.index, memory.text, before, after)) is not None:
            self._first = new_cursor(NUM_MATCHES)
            copy_cursor(self._read, self._first)
            self._first.match_at[:] = found.place
            self._first.match_length[:] = found.before + found.after
            self.restart()

    def chances(
        self,
        says: NetworkSays = NOTHING,
        *,
        forced: bytes = b"",
        end_chance: float = FROM_MEMORY,
        least: float = 0.0,
        only_best: bool = False,
    ) -> Array:
        """The chances of all tokens of the trie and of the text's end (V + 1,), see `search.next_tokens`.

        `says`: what a network says of the next token, or nothing.
        """
        memory = self._memory
        memory.make_room(self._position - memory.size + self._room)
        for array, first in zip(self._cursors, self.cursor, strict=True):
            array[0] = first
        next_tokens(
            memory.learned,
            memory.journal,
            memory.work,
            memory.decided,
            self._cursors,
            memory.trie,
            memory.text,
            memory.marks,
            self._position,
            says.cumulative,
            1 + int(says.certainty[0]) if len(says.certainty) else 0,
            np.array(list(forced), np.uint8),
            end_chance,
            least,
            only_best,
            self._branches,
            self._branch_chances,
            self._chances,
        )
        return self._chances

    def split(self, typed: bytes, says: NetworkSays = NOTHING) -> tuple[float, list[tuple[int, float]]]:
        """The chance that the next token begins with some bytes; and of each token that is a beginning of them."""
        memory = self._memory
        count = min(len(typed), memory.longest)
        memory.make_room(self._position - memory.size + self._room)
        for array, first in zip(self._cursors, self.cursor, strict=True):
            array[0] = first
        whole = np.zeros(count)
        chance = begins_with(
            memory.learned,
            memory.journal,
            memory.work,
            memory.decided,
            self._cursors,
            memory.trie,
            memory.text,
            memory.marks,
            self._position,
            says.cumulative,
            1 + int(says.certainty[0]) if len(says.certainty) else 0,
            np.frombuffer(typed[:count], np.uint8),
            whole,
        )
        ids = [(memory.tokenizer.id_of(typed[:length]), float(whole[length])) for length in np.flatnonzero(whole)]
        return (chance if count == len(typed) else 0.0), [(id_, share) for id_, share in ids if id_ is not None]

    def draft(self, most: int) -> list[int]:
        """Up to so many tokens that may come next (`drafts`)."""
        memory = self._memory
        found = np.zeros(most, np.int64)
        count = draft(self.cursor, memory.trie, memory.text, memory.marks, self._position, found)
        ids: list[int] = found[:count].tolist()
        return ids

    def mark(self) -> tuple[Cursor, int]:
        """This place, to come back to."""
        cursor = new_cursor(NUM_MATCHES)
        copy_cursor(self.cursor, cursor)
        return cursor, self._position

    def back_to(self, mark: tuple[Cursor, int]) -> None:
        """Stand where a mark was made on the way here since the last `restart`."""
        copy_cursor(mark[0], self.cursor)
        self._position = mark[1]

    def accept(self, token: int) -> None:
        """Go on with a token."""
        memory = self._memory
        content = np.frombuffer(memory.tokenizer.token_bytes(token), np.uint8)
        memory.make_room(self._position - memory.size + self._room + len(content))
        pass_token(memory.learned, self.cursor, memory.trie, memory.text, memory.marks, self._position, content)
        self._position += len(content)
