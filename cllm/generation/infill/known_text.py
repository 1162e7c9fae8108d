"""What occurs in the repository or in the file at the cursor: names and texts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cllm.memory.memory import Memory
from cllm.syntax.words import is_word_byte

WORD_BYTE = rb"[\w\x80-\xff]"
MAX_NAME_BYTES = 64
MAX_MIDDLES = 8  # nearest to the cursor first


class Place(NamedTuple):
    """Where a text occurs: the text of the file, the offset in it, and the file's path; the cursor's has none."""

    text: bytes
    offset: int
    path: str = ""


@dataclass(frozen=True)
class KnownText:
    """Looks up names and texts before and after a cursor, and in a memory."""

    prefix: bytes
    suffix: bytes
    memory: Memory | None

    def has_text(self, text: bytes) -> bool:
        """Whether a text occurs anywhere."""
        memory = self.memory
        if text in self.prefix or text in self.suffix:
            return True
        return memory is not None and bool(memory.index.positions(memory.text, text, len(text)))

    def places(self, text: bytes) -> Iterator[Place]:
        """Yield where a text occurs at the start of a line of the file, but the cursor's, and in the memory."""
        line_start, line_end = self.prefix.rfind(b"\n") + 1, self.suffix.find(b"\n")
        others = self.prefix[:line_start] + (self.suffix[line_end + 1 :] if line_end >= 0 else b"")
        for found in re.finditer(rb"^[ \t]*(%b)" % re.escape(text), others, re.MULTILINE):
            yield Place(others, found.start(1))
        if self.memory is None:
            return
        source, document = None, b""  # one copy of each document
        for end in sorted(self.memory.index.positions(self.memory.text, text, len(text))):
            found_source = self.memory.index.source_at(end)
            if found_source is None:
                continue
            if found_source is not source:
                source, document = found_source, self.memory.text[found_source.begin : found_source.end].tobytes()
            yield Place(document, end - len(text) - found_source.begin, found_source.path)

    def has_name(self, name: bytes) -> bool:
        """Whether a name occurs as a whole word."""
        word = re.compile(b"(?<!%b)%b(?!%b)" % (WORD_BYTE, re.escape(name), WORD_BYTE))
        return bool(word.search(self.prefix) or word.search(self.suffix)) or self._is_in_memory(name)

    def _is_in_memory(self, name: bytes) -> bool:
        if self.memory is None:
            return False
        text = self.memory.text
        return any(
            not is_word_byte(text[end]) and (end == len(name) or not is_word_byte(text[end - len(name) - 1]))
            for end in self.memory.index.positions(text, name, len(name))
        )

    def name_middles(self, left: bytes, right: bytes) -> list[bytes]:
        """What stands between `left` and `right` in names that begin and end with them, in the file or the memory."""
        name = re.compile(
            b"(?<!%b)%b(%b{1,%d}?)%b(?!%b)"
            % (*(WORD_BYTE, re.escape(left), WORD_BYTE, MAX_NAME_BYTES, re.escape(right), WORD_BYTE),)
        )
        found = [*reversed(name.findall(self.prefix)), *name.findall(self.suffix)]
        if self.memory is not None:
            text, length = self.memory.text, len(left)
            for end in self.memory.index.positions(text, left, length):
                begin = max(0, end - length - 1)
                match = name.match(text[begin : end + MAX_NAME_BYTES].tobytes(), end - length - begin)
                found += [match[1]] if match else []
        return list(dict.fromkeys(found))[:MAX_MIDDLES]
