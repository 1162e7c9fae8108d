"""Syntactic guide: whether generated text is valid at the cursor of a file.

A guide accepts all text of a valid file, as far as the grammar covers the language. Errors that the file around the
cursor already has (macros, an unfinished line) do not count.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Self

from cllm.generation.guide.file_context import FileContext
from cllm.generation.guide.probes import LINE_ENDINGS
from cllm.syntax.closing import CLOSING_BRACKETS, bracket_closers, min_errors, open_brackets
from cllm.syntax.error_count import count_errors
from cllm.syntax.macros import terminate_macros
from cllm.syntax.prefix_parser import PrefixParser
from cllm.syntax.words import word_ends

MAX_CONTEXT_BYTES = 1 << 18  # bytes before and after the cursor that are parsed
MAX_DROPPED_LINES = 128  # lines dropped from the end of a text to repair it
MAX_DROPPED_WORDS = 24  # words dropped from the end of a text to repair it
MAX_CLOSERS = 60  # closers tried after each word
MAX_CLOSING_CHECKS = 6  # checks per guide that search a closing, up to 0.2 s each
MAX_CLOSED_BRACKETS = 4  # brackets closed by a repair
BRACKET_FILLERS = (b"", b";", b"{}")  # before a closing bracket: none adds a word to the text
QUOTE_CLOSERS = (b'"', b"'", b"`", b"/")
QUOTE_BYTES, BACKSLASH = b"\"'`", ord("\\")
COMMENT_OPENERS = (b"/*", b"//", b"#")
HAS_REGEX_LITERALS = {"JavaScript", "TSX", "TypeScript"}  # between slashes


class Guide:
    """Checks a growing text: whether a word is an error whatever follows, and at the end whether the file is valid."""

    def __init__(self, language: str, prefix: bytes, suffix: bytes = b"", previous: "Guide | None" = None) -> None:
        """`language` must have a grammar. Without a suffix, the prefix is the beginning of a file.

        `previous`: a guide that is no longer used. If its prefix is a prefix of this one, its parse state is reused.
        """
        self.language, self._num_closing_checks = language, 0
        self._before, self._after = terminate_macros(language, prefix[-MAX_CONTEXT_BYTES:], suffix[:MAX_CONTEXT_BYTES])
        self._file_context: FileContext = FileContext(
            language, self._before, self._after, previous._file_context if previous is not None else None
        )
        if previous is not None and previous.language == language and self._before.startswith(previous._before):
            self._prefix_parser: PrefixParser = previous._prefix_parser
            self._prefix_parser.extend(self._before[len(previous._before) :])
        else:
            self._prefix_parser = PrefixParser(language, self._before)

    def prepared(self) -> Self:
        """Return itself, after parsing the file ahead of the first check."""
        if self._after.strip():
            self._file_context.prepare()
        return self

    def error_offset(self, generated: bytes, *, is_line: bool) -> int | None:
        """Return the offset in `generated` of the first erroneous word, or None.

        `is_line`: the last line of `generated` is complete.
        """
        if is_line and self._ends_inside_quotes(generated):
            return max(0, len(generated) - 1)
        # A prefix of a valid file has no error, and the validity of the file is checked at the end anyway.
        if is_line and self._after.strip() and self._file_context.errors_with(generated) == 0:
            return None
        found = self._prefix_parser.error_offset(generated + b"\n" if is_line else generated)
        # After earlier errors, a parser's error offsets are less reliable: the error count of the whole file decides.
        if found is None or not is_line or not self._prefix_parser.has_errors:
            return found
        return None if self._adds_no_errors(generated) else found

    def _adds_no_errors(self, generated: bytes) -> bool:
        """Whether the file, or without a suffix the closed text, has no more errors than before."""
        if self._after.strip():
            return self.fits(generated)
        if self._num_closing_checks == MAX_CLOSING_CHECKS or self._min_errors_before is None:
            return False
        self._num_closing_checks += 1
        fewest = min_errors(self.language, self._before + generated + b"\n", self._min_errors_before)
        return fewest is not None and fewest <= self._min_errors_before

    def _ends_inside_quotes(self, generated: bytes) -> bool:
        """Whether the text ends inside quotes that must close on the same line; quotes in comments do not count."""
        line = (self._before + generated).rpartition(b"\n")[2]
        if not may_end_inside_quotes(line) and not (b"/" in line and self.language in HAS_REGEX_LITERALS):
            return False
        if not self.is_inside_string_or_comment(generated) or self.is_inside_string_or_comment(generated + b"\n"):
            return False
        return not all(self.is_inside_string_or_comment(generated + quote) for quote in QUOTE_CLOSERS)

    @cached_property
    def _min_errors_before(self) -> int | None:
        """Number of errors of the closed text before the cursor's line; None if no closing was found."""
        return min_errors(self.language, self._before[: self._before.rfind(b"\n") + 1])

    def fits(self, generated: bytes) -> bool:
        """Whether no probe gives the file fewer errors than `generated` at the cursor; True without a suffix."""
        return not self._after.strip() or self._file_context.fits(generated)

    def accepts(self, generated: bytes) -> bool:
        """Whether lines that parse pass further checks; always True here, subclasses override it."""
        return True

    def is_inside_string_or_comment(self, generated: bytes) -> bool:
        """Whether the text ends inside a string or comment: a byte that no language allows causes no error there."""
        return self._prefix_parser.error_offset(generated + b"\x01 \x01") is None

    def repaired(self, generated: bytes) -> bytes | None:
        """Return the longest valid prefix of `generated`, with brackets closed as the suffix requires; or None."""
        error_offset, found = self.error_offset(generated, is_line=False), None
        for end in (
            *islice(word_ends(generated if error_offset is None else generated[:error_offset]), MAX_DROPPED_WORDS),
            0,
        ):
            for closer in islice(self._closers(generated[:end]), MAX_CLOSERS):
                text = generated[:end] + closer
                if text.strip() and self.fits(text) and self._can_end(text):
                    if not self.is_inside_string_or_comment(text):
                        return text
                    found = found or text
        return found

    def closed_block(self, generated: bytes) -> bytes | None:
        """Return the most lines of `generated`, or else words, that are valid with brackets closed; or None."""
        outside = len(open_brackets(self.language, self._before))
        lines = reversed([place for place in range(len(generated)) if generated.startswith(b"\n", place)])
        for end in (*islice(lines, MAX_DROPPED_LINES), *islice(word_ends(generated), MAX_DROPPED_WORDS)):
            head = generated[:end].rstrip()
            opened = open_brackets(self.language, self._before + head)[outside:]
            braces = {"{": b"\n}", "${": b"}"}
            closed = head + b"".join(braces.get(bracket, CLOSING_BRACKETS[bracket]) for bracket in reversed(opened))
            for text in (closed, closed + b";") if head.strip() else ():
                is_whole = bool(outside) or count_errors(self.language, self._before + text) <= self._errors_before
                if is_whole and self.fits(text) and self._can_end(text):
                    return text
        return None

    @cached_property
    def _errors_before(self) -> int:
        return count_errors(self.language, self._before[: self._before.rfind(b"\n") + 1])

    def _can_end(self, text: bytes) -> bool:
        if self._after.strip():
            return self.error_offset(text, is_line=True) is None
        return (
            self.error_offset(text, is_line=True) is None and min_errors(self.language, self._before + text) is not None
        )

    def _closers(self, generated: bytes) -> Iterator[bytes]:
        """Yield candidate line ends: nothing, a closing quote inside a string, with a suffix also closing brackets."""
        quotes = (b"", *QUOTE_CLOSERS) if self.is_inside_string_or_comment(generated) else (b"",)
        if not self._after.strip():
            yield from quotes
            return
        brackets = open_brackets(self.language, self._before + generated)
        for quote in quotes:
            prefix_parser = PrefixParser(self.language, self._before + generated + quote)
            for count in range(min(MAX_CLOSED_BRACKETS, len(brackets)) + 1):
                some = brackets[len(brackets) - count :]
                closed = bracket_closers(prefix_parser, some, BRACKET_FILLERS)
                for end in LINE_ENDINGS if closed is not None else ():
                    yield quote + (closed or b"") + end


def may_end_inside_quotes(line: bytes) -> bool:
    """Whether a line may end inside quotes that it opens; a heuristic without false negatives."""
    quotes = [byte for byte in QUOTE_BYTES if byte in line]
    if len(quotes) != 1 or any(opener in line for opener in COMMENT_OPENERS):
        return bool(quotes)
    inside, is_escaped = False, False
    for byte in line:
        inside ^= byte == quotes[0] and not is_escaped
        is_escaped = byte == BACKSLASH and not is_escaped
    return inside
