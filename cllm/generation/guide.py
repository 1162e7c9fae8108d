"""Whether what is written can stand where it is written: a guide that a file's syntax gives.

A guide never says no to what a right file holds there, as far as its grammar knows the language. What the file around
the cursor already has wrong (macros, a line that is not finished) does not count.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Self

from cllm.generation.stopgaps import ENDS
from cllm.generation.surroundings import Surroundings
from cllm.syntax.closing import PARTNER, brackets_closed, fewest_errors, open_brackets
from cllm.syntax.errors import errors
from cllm.syntax.growing import GrowingText
from cllm.syntax.macros import macros_ended
from cllm.syntax.words import word_ends

MOST_BYTES = 1 << 18  # before and after the cursor that are parsed
MOST_ENDS = 128  # lines from the last one on that are given up for the others
MOST_CUTS = 24  # words from the last one on that are given up for the others
MOST_TRIES = 60  # of ways to end behind a word
MOST_OPINIONS = 6  # by way of closing a text, each up to 0.2 s
MOST_CLOSED = 4  # brackets
IN_BRACKETS = (b"", b";", b"{}")  # that are closed: no word that nobody meant
QUOTES = (b'"', b"'", b"`", b"/")
SIGNS, BACKSLASH = b"\"'`", ord("\\")
COMMENTS = (b"/*", b"//", b"#")
HAS_PATTERNS = {"JavaScript", "TSX", "TypeScript"}  # between slashes


class Guide:
    """Asks of what is written, as it grows: is a word wrong, whatever follows; and at the end: is the file right."""

    def __init__(self, language: str, prefix: bytes, suffix: bytes = b"", last: "Guide | None" = None) -> None:
        """`language` must have a grammar. Without a suffix, the text is the beginning of a file.

        `last`: one that is not asked any more. If it is of the same text, of which less was written, this one takes
        what it knows.
        """
        self.language, self._opinions = language, 0
        self._before, self._after = macros_ended(language, prefix[-MOST_BYTES:], suffix[:MOST_BYTES])
        self._around: Surroundings = Surroundings(
            language, self._before, self._after, last._around if last is not None else None
        )
        if last is not None and last.language == language and self._before.startswith(last._before):
            self._growing: GrowingText = last._growing
            self._growing.grow(self._before[len(last._before) :])
        else:
            self._growing = GrowingText(language, self._before)

    def prepared(self) -> Self:
        """Itself, with what the first questions need."""
        if self._after.strip():
            self._around.prepare()
        return self

    def fault(self, written: bytes, *, is_line: bool) -> int | None:
        """Offset in `written` of the first word that cannot stand there; with `is_line`, its last line is whole."""
        if is_line and self._ends_in_quotes(written):
            return max(0, len(written) - 1)
        # The beginning of a right file is right; and whether it is right is asked at the end anyway.
        if is_line and self._after.strip() and self._around.errors_with(written) == 0:
            return None
        found = self._growing.fault(written + b"\n" if is_line else written)
        # Behind faults a parser is less sure of what it reads: then what counts is how right the whole can be.
        if found is None or not is_line or not self._growing.is_faulty:
            return found
        return None if self._is_no_worse(written) else found

    def _is_no_worse(self, written: bytes) -> bool:
        """Whether the file, or where nothing follows, the text when it is closed, has no more errors than before."""
        if self._after.strip():
            return self.fits(written)
        if self._opinions == MOST_OPINIONS or self._fewest_before is None:
            return False
        self._opinions += 1
        fewest = fewest_errors(self.language, self._before + written + b"\n", self._fewest_before)
        return fewest is not None and fewest <= self._fewest_before

    def _ends_in_quotes(self, written: bytes) -> bool:
        """Whether the end is inside quotes that a line's end must not come before; in a comment they close nothing."""
        line = (self._before + written).rpartition(b"\n")[2]
        if not may_end_in_quotes(line) and not (b"/" in line and self.language in HAS_PATTERNS):
            return False
        if not self.is_inside_text(written) or self.is_inside_text(written + b"\n"):
            return False
        return not all(self.is_inside_text(written + quote) for quote in QUOTES)

    @cached_property
    def _fewest_before(self) -> int | None:
        """Errors that the text before the cursor's line has, when it is closed."""
        return fewest_errors(self.language, self._before[: self._before.rfind(b"\n") + 1])

    def fits(self, written: bytes) -> bool:
        """Whether the file with `written` in the cursor's place has no more errors than it must have."""
        return not self._after.strip() or self._around.fits(written)

    def accepts(self, written: bytes) -> bool:
        """Whether lines that parse are right in other ways, as far as anybody is asked."""
        return True

    def is_inside_text(self, written: bytes) -> bool:
        """Whether the end is inside a string or a comment, where a sign that no language knows is none the worse."""
        return self._growing.fault(written + b"\x01 \x01") is None

    def mended(self, written: bytes) -> bytes | None:
        """The most of `written` that can stand, with its brackets closed where the suffix wants it; or None."""
        fault, found = self.fault(written, is_line=False), None
        for end in (*islice(word_ends(written if fault is None else written[:fault]), MOST_CUTS), 0):
            for closer in islice(self._closers(written[:end]), MOST_TRIES):
                text = written[:end] + closer
                if text.strip() and self.fits(text) and self._can_end(text):
                    if not self.is_inside_text(text):
                        return text
                    found = found or text
        return found

    def rounded(self, written: bytes) -> bytes | None:
        """The most lines of `written`, or else words, that can stand with their brackets closed; or None."""
        outside = len(open_brackets(self.language, self._before))
        lines = reversed([place for place in range(len(written)) if written.startswith(b"\n", place)])
        for end in (*islice(lines, MOST_ENDS), *islice(word_ends(written), MOST_CUTS)):
            begun = written[:end].rstrip()
            opened = open_brackets(self.language, self._before + begun)[outside:]
            braces = {"{": b"\n}", "${": b"}"}
            closed = begun + b"".join(braces.get(bracket, PARTNER[bracket]) for bracket in reversed(opened))
            for text in (closed, closed + b";") if begun.strip() else ():
                is_whole = bool(outside) or errors(self.language, self._before + text) <= self._errors_before
                if is_whole and self.fits(text) and self._can_end(text):
                    return text
        return None

    @cached_property
    def _errors_before(self) -> int:
        return errors(self.language, self._before[: self._before.rfind(b"\n") + 1])

    def _can_end(self, text: bytes) -> bool:
        if self._after.strip():
            return self.fault(text, is_line=True) is None
        return self.fault(text, is_line=True) is None and fewest_errors(self.language, self._before + text) is not None

    def _closers(self, written: bytes) -> Iterator[bytes]:
        """What may end a line: nothing; inside a text its quotes; before a suffix brackets, from the innermost on."""
        quotes = (b"", *QUOTES) if self.is_inside_text(written) else (b"",)
        if not self._after.strip():
            yield from quotes
            return
        brackets = open_brackets(self.language, self._before + written)
        for quote in quotes:
            growing = GrowingText(self.language, self._before + written + quote)
            for count in range(min(MOST_CLOSED, len(brackets)) + 1):
                some = brackets[len(brackets) - count :]
                closed = brackets_closed(growing, some, IN_BRACKETS)
                for end in ENDS if closed is not None else ():
                    yield quote + (closed or b"") + end


def may_end_in_quotes(line: bytes) -> bool:
    """Whether a line's end may be inside quotes that began in it, by its looks; sure where it says no."""
    quotes = [sign for sign in SIGNS if sign in line]
    if len(quotes) != 1 or any(opener in line for opener in COMMENTS):
        return bool(quotes)
    inside, is_escaped = False, False
    for sign in line:
        inside ^= sign == quotes[0] and not is_escaped
        is_escaped = sign == BACKSLASH and not is_escaped
    return inside
