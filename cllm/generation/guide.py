"""Whether what is written can stand where it is written: a guide that a file's syntax gives.

A guide never says no to what a right file holds there, as far as its grammar knows the language. What the file around
the cursor already has wrong (macros, a line that is not finished) does not count.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from tree_sitter import Tree

from cllm.generation.stopgaps import AS_A_LINE, ENDS, IN_PLACE, USUAL
from cllm.syntax.closing import PARTNER, brackets_closed, fewest_errors, open_brackets
from cllm.syntax.errors import errors, errors_in
from cllm.syntax.grammars import parse, parse_with, parser_for
from cllm.syntax.growing import GrowingText, point_at
from cllm.syntax.words import word_ends

MOST_BYTES = 1 << 18  # before and after the cursor that are parsed
MOST_ENDS = 128  # lines from the last one on that are given up for the others
MOST_CUTS = 24  # words from the last one on that are given up for the others
MOST_TRIES = 60  # of ways to end behind a word
MOST_OPINIONS = 6  # by way of closing a text, each up to 0.2 s
MOST_CLOSED = 4  # brackets
IN_BRACKETS = (b"", b";", b"{}")  # that are closed: no word that nobody meant
QUOTES = (b'"', b"'", b"`", b"/")


class Guide:
    """Asks of what is written, as it grows: is a word wrong, whatever follows; and at the end: is the file right."""

    def __init__(self, language: str, prefix: bytes, suffix: bytes = b"") -> None:
        """`language` must have a grammar. Without a suffix, the text is the beginning of a file."""
        self.language = language
        self._before, self._after = prefix[-MOST_BYTES:], suffix[:MOST_BYTES]
        self._growing, self._opinions = GrowingText(language, self._before), 0

    def fault(self, written: bytes, *, is_line: bool) -> int | None:
        """Offset in `written` of the first word that cannot stand there; with `is_line`, its last line is whole."""
        if is_line and self._ends_in_quotes(written):
            return max(0, len(written) - 1)
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
        if (
            not any(quote in line for quote in QUOTES)
            or not self.is_inside_text(written)
            or self.is_inside_text(written + b"\n")
        ):
            return False
        return not all(self.is_inside_text(written + quote) for quote in QUOTES)

    @cached_property
    def _fewest_before(self) -> int | None:
        """Errors that the text before the cursor's line has, when it is closed."""
        return fewest_errors(self.language, self._before[: self._before.rfind(b"\n") + 1])

    def fits(self, written: bytes) -> bool:
        """Whether the file with `written` in the cursor's place has no more errors than it must have."""
        if not self._after.strip():
            return True
        tree, begin = self._tree_with(written), len(self._before)
        found = errors_in(tree) if tree is not None else begin
        if found == 0 or found > self._fewest_by_some:
            return found == 0
        # Errors elsewhere alone, if some stopgaps have them, too, were there before.
        is_right_here = tree is not None and not has_errors_at(tree, begin, begin + len(written))
        return is_right_here or found <= self._fewest_by_all

    def accepts(self, written: bytes) -> bool:
        """Whether lines that parse are right in other ways, as far as anybody is asked."""
        return True

    def is_inside_text(self, written: bytes) -> bool:
        """Whether the end is inside a string or a comment, where a sign that no language knows is none the worse."""
        return self._growing.fault(written + b"\x01 \x01") is None

    @cached_property
    def _fewest_by_some(self) -> int:
        """The fewest errors that the file has with any of the most usual stopgaps."""
        line = self._before.rfind(b"\n") + 1
        return min(self._errors_with(stopgap, line) for stopgap in USUAL)

    @cached_property
    def _fewest_by_all(self) -> int:
        line, fewest = self._before.rfind(b"\n") + 1, self._fewest_by_some
        for begin, stopgaps in ((line, AS_A_LINE), (len(self._before), IN_PLACE)):
            for stopgap in stopgaps if fewest else ():
                fewest = min(fewest, self._errors_with(stopgap, begin))
        return fewest

    @cached_property
    def _around(self) -> Tree | None:
        return parse(self.language, self._before + self._after)

    def _errors_with(self, written: bytes, begin: int | None = None) -> int:
        tree = self._tree_with(written, begin)
        return errors_in(tree) if tree is not None else len(self._before)

    def _tree_with(self, written: bytes, begin: int | None = None) -> Tree | None:
        """The file with a text in the cursor's place, or from a byte before it on."""
        parser, old = parser_for(self.language), len(self._before)
        assert parser is not None
        begin = old if begin is None else begin
        text, new = self._before[:begin] + written + self._after, begin + len(written)
        tree = self._around
        if tree is not None:
            tree, around = tree.copy(), self._before + self._after
            tree.edit(begin, old, new, *(point_at(*at) for at in ((text, begin), (around, old), (text, new))))
        return parse_with(parser, text, tree)

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


def has_errors_at(tree: Tree, begin: int, end: int) -> bool:
    """Whether there are errors in the constructs, at the top level, that a stretch lies in or touches."""
    root = tree.root_node
    touching = [child for child in root.children if child.end_byte >= begin and child.start_byte <= end]
    return root.is_error or any(child.has_error for child in touching)
