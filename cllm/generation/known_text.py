"""What occurs in the repository or in the file at the cursor: names and texts."""

import re
from dataclasses import dataclass

from cllm.memory.memory import Memory
from cllm.syntax.words import is_word_byte


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

    def has_name(self, name: bytes) -> bool:
        """Whether a name occurs as a whole word."""
        word = re.compile(rb"(?<![\w\x80-\xff])" + re.escape(name) + rb"(?![\w\x80-\xff])")
        return bool(word.search(self.prefix) or word.search(self.suffix)) or self._is_in_memory(name)

    def _is_in_memory(self, name: bytes) -> bool:
        if self.memory is None:
            return False
        text = self.memory.text
        return any(
            not is_word_byte(text[end]) and (end == len(name) or not is_word_byte(text[end - len(name) - 1]))
            for end in self.memory.index.positions(text, name, len(name))
        )
