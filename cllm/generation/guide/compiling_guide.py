"""A guide for C that has gcc accept what is written, too, line by line: names and types, and not syntax alone.

What gcc cannot read before anything is written (a file that needs headers nobody has), it is not asked about.
"""

from functools import cached_property

from cllm.generation.guide.guide import Guide
from cllm.syntax.closing import open_brackets
from cllm.syntax.compiler import Compiler
from cllm.syntax.error_count import count_errors

STATEMENT_TERMINATORS = (b";", b"{", b"}")


class CompilingGuide(Guide):
    """Some 80 ms for each line that ends a statement."""

    def __init__(self, prefix: bytes, suffix: bytes, compiler: Compiler, preamble: bytes) -> None:
        """`preamble` stands before a prefix that includes nothing itself. The compiler must be entered."""
        super().__init__("C", prefix, suffix)
        self._compiler, self._prefix, self._suffix = compiler, prefix, suffix
        self._preamble = b"" if b"#include" in prefix else preamble

    def accepts(self, generated: bytes) -> bool:
        if not generated.rstrip().endswith(STATEMENT_TERMINATORS) or not self._prefix_compiles:
            return True
        source = self._closed_source(generated)
        return source is None or self._compiler.compiles(self._preamble + source).ok is not False

    def closed_block(self, generated: bytes) -> bytes | None:
        return super().closed_block(generated) or self._syntax_guide.closed_block(generated)

    def repaired(self, generated: bytes) -> bytes | None:
        return self.closed_block(generated) or super().repaired(generated)

    @cached_property
    def _syntax_guide(self) -> Guide:
        """What is asked where gcc accepts nothing: a text that parses is better than none."""
        return Guide("C", self._prefix, self._suffix)

    def _can_end(self, text: bytes) -> bool:
        return super()._can_end(text) and self.accepts(text)

    @cached_property
    def _prefix_compiles(self) -> bool:
        before = self._prefix[: self._prefix.rfind(b"\n") + 1]
        return self._compiler.compiles(self._preamble + with_brackets_closed(before)).ok is True

    def _closed_source(self, generated: bytes) -> bytes | None:
        """The text with its braces closed, if it parses then."""
        if self._suffix.strip() and not self._file_context.errors_with(generated):
            return self._prefix + generated + self._suffix
        source = with_brackets_closed(self._prefix + generated)
        return source if count_errors("C", source) == 0 else None


def with_brackets_closed(text: bytes) -> bytes:
    """With what ends conditional sections and braces behind it."""
    ends = {"#if": b"\n#endif\n", "#ifdef": b"\n#endif\n", "#ifndef": b"\n#endif\n", "{": b"\n}\n"}
    return text + b"".join(ends.get(bracket, b"") for bracket in reversed(open_brackets("C", text)))
