"""A guide for C that also compiles the text with gcc, line by line: it checks names and types besides syntax.

gcc is not run if it rejects the prefix itself, e.g. because headers are missing.
"""

from functools import cached_property

from cllm.generation.guide.guide import CALL_SECONDS, Guide
from cllm.syntax.compiler import Compiler
from cllm.syntax.error_count import count_errors
from cllm.syntax.open_brackets import open_brackets

STATEMENT_TERMINATORS = (b";", b"{", b"}")


class CompilingGuide(Guide):
    """A guide that runs gcc for each line that ends a statement; some 80 ms per line."""

    def __init__(self, prefix: bytes, suffix: bytes, compiler: Compiler, preamble: bytes) -> None:
        """`preamble` is inserted before a prefix without any `#include`. `compiler` must be entered."""
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
        """Fallback if gcc accepts no candidate: a text that parses is better than none."""
        return Guide("C", self._prefix, self._suffix)

    def final_verdict(self, generated: bytes) -> tuple[bool | None, str]:
        is_valid, reason = super().final_verdict(generated)
        if not is_valid:
            return is_valid, reason
        self.budget.restart(CALL_SECONDS)
        if not self._prefix_compiles:
            return None, "gcc rejects what stands before the cursor, so only the syntax was checked"
        source = self._closed_source(generated)
        if source is None:
            return None, "the text cannot be completed to a file for gcc, so only the syntax was checked"
        if self._compiler.compiles(self._preamble + source).ok is False:
            return False, "gcc rejects the text: nothing that it accepts was found"
        return True, ""

    def _can_end(self, text: bytes) -> bool:
        return super()._can_end(text) and self.accepts(text)

    @cached_property
    def _prefix_compiles(self) -> bool:
        before = self._prefix[: self._prefix.rfind(b"\n") + 1]
        return self._compiler.compiles(self._preamble + with_brackets_closed(before)).ok is True

    def _closed_source(self, generated: bytes) -> bytes | None:
        """The source with its open braces closed, or None if that does not parse."""
        if self._suffix.strip() and self._file_context.errors_with(generated) == 0:
            return self._prefix + generated + self._suffix
        source = with_brackets_closed(self._prefix + generated)
        return source if count_errors("C", source) == 0 else None


def with_brackets_closed(text: bytes) -> bytes:
    """Return `text` with its open braces and preprocessor conditionals closed."""
    ends = {"#if": b"\n#endif\n", "#ifdef": b"\n#endif\n", "#ifndef": b"\n#endif\n", "{": b"\n}\n"}
    return text + b"".join(ends.get(bracket, b"") for bracket in reversed(open_brackets("C", text)))
