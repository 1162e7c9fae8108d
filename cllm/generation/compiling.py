"""A guide for C that has gcc accept what is written, too, line by line: names and types, and not syntax alone.

What gcc cannot read before anything is written (a file that needs headers nobody has), it is not asked about.
"""

from functools import cached_property

from cllm.generation.guide import Guide
from cllm.syntax.closing import open_brackets
from cllm.syntax.compile_c import Compiler
from cllm.syntax.errors import errors

ENDS_A_STATEMENT = (b";", b"{", b"}")


class CompilingGuide(Guide):
    """Some 80 ms for each line that ends a statement."""

    def __init__(self, prefix: bytes, suffix: bytes, compiler: Compiler, preamble: bytes) -> None:
        """`preamble` stands before a prefix that includes nothing itself. The compiler must be entered."""
        super().__init__("C", prefix, suffix)
        self._compiler, self._prefix, self._suffix = compiler, prefix, suffix
        self._preamble = b"" if b"#include" in prefix else preamble

    def accepts(self, written: bytes) -> bool:
        if not written.rstrip().endswith(ENDS_A_STATEMENT) or not self._can_be_asked:
            return True
        source = self._closed(written)
        return source is None or self._compiler.compiles(self._preamble + source).ok is not False

    def rounded(self, written: bytes) -> bytes | None:
        return super().rounded(written) or self._by_syntax.rounded(written)

    def mended(self, written: bytes) -> bytes | None:
        return self.rounded(written) or super().mended(written)

    @cached_property
    def _by_syntax(self) -> Guide:
        """What is asked where gcc accepts nothing: a text that parses is better than none."""
        return Guide("C", self._prefix, self._suffix)

    def _can_end(self, text: bytes) -> bool:
        return super()._can_end(text) and self.accepts(text)

    @cached_property
    def _can_be_asked(self) -> bool:
        before = self._prefix[: self._prefix.rfind(b"\n") + 1]
        return self._compiler.compiles(self._preamble + close(before)).ok is True

    def _closed(self, written: bytes) -> bytes | None:
        """The text with its braces closed, if it parses then."""
        if self._suffix.strip() and not self._around.errors_with(written):
            return self._prefix + written + self._suffix
        source = close(self._prefix + written)
        return source if errors("C", source) == 0 else None


def close(text: bytes) -> bytes:
    """With what ends conditional sections and braces behind it."""
    ends = {"#if": b"\n#endif\n", "#ifdef": b"\n#endif\n", "#ifndef": b"\n#endif\n", "{": b"\n}\n"}
    return text + b"".join(ends.get(bracket, b"") for bracket in reversed(open_brackets("C", text)))
