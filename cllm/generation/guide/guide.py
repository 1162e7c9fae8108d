"""Syntactic guide: whether generated text is valid at the cursor of a file.

There are two verdicts. A text is refused if it is wrong in any dialect of the language: a bracket without its
counterpart, a string that its line does not end (`error_offset`, `fits`). Other texts that the grammar cannot parse
(`syntax_error_offset`, `parses`) are mostly wrong, too, but grammars lag behind their languages, and do not expand
macros. The search for a completion prefers what parses, and never takes what is refused.

Errors that the file around the cursor already has do not count. A check that takes too long proves nothing.
"""

import math
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import chain, islice
from typing import Self

from cllm.generation.guide.customs import Customs
from cllm.generation.guide.file_context import FileContext
from cllm.generation.guide.line_shape import PLAIN, LineShape, shape_of
from cllm.syntax.balance import PREPROCESSED
from cllm.syntax.closing import bracket_closers, min_errors
from cllm.syntax.condense import condense
from cllm.syntax.edited_tree import common_length
from cllm.syntax.error_count import count_errors
from cllm.syntax.macros import terminate_macros
from cllm.syntax.open_brackets import CLOSING_BRACKETS
from cllm.syntax.prefix_parser import MULTILINE_DELIMITERS, PrefixParser, is_inside_delimiters
from cllm.syntax.time_budget import TimeBudget
from cllm.syntax.words import indent_length, word_ends

MAX_CONTEXT_BYTES = 1 << 18  # bytes before and after the cursor that are parsed
PREPARE_SECONDS = 0.2  # to parse the file around the cursor; a file that takes longer is not judged
PROBE_SECONDS = 0.02  # for probes in advance, while the prompt is prefilled
CALL_SECONDS = 0.25  # for a check outside a search
REPAIR_SECONDS, CLOSE_SECONDS = 0.015, 0.1  # to cut a line, or a block at the token limit
MAX_QUOTED_LINE_BYTES = 10_000  # of a line whose quotes are checked
MAX_ERROR_LINES = 4  # lines before the cursor whose errors say that the grammar is no judge there
MAX_DROPPED_LINES = 128  # lines dropped from the end of a text to repair it
MAX_DROPPED_WORDS = 24  # words dropped from the end of a text to repair it
MAX_WHOLE_CUTS = 3  # words dropped before closers are tried
MAX_CLOSERS = 40  # closers tried after each word
MAX_CLOSED_BRACKETS = 4  # brackets closed by a repair
BRACKET_FILLERS = (b"", b";", b"{}")  # before a closing bracket: none adds a word to the text
TERMINATORS = (b"", b";", b",", b":")  # end of a line, after closed brackets
BLOCK_BRACKETS = {"{", "#if", "#ifdef", "#ifndef"}
QUOTE_CLOSERS = (b'"', b"'", b"`", b"/")
DELIMITER = re.compile(rb"[\"'`/#<>{}$\\\n]")  # without one of these no string, comment or text of a tag begins or ends
QUOTE_BYTES, BACKSLASH = b"\"'`", ord("\\")
MACRO_DEFINITION = re.compile(rb"[ \t]*#[ \t]*define\b")
# After a complete line of a language, at least one of these can stand on the next one, with the same indentation.
NEXT_LINES = {
    "Python": (b"x", b"    x", b")", b"]", b"}", b"else x", b"def x():", b"    case x:"),
}
COMMENT_OPENERS = (b"/*", b"//", b"#")
HAS_REGEX_LITERALS = {"JavaScript", "TSX", "TypeScript"}  # between slashes


class Guide:
    """Checks a growing text: whether a word is an error whatever follows, and at the end whether the file is valid."""

    def __init__(
        self,
        language: str,
        prefix: bytes,
        suffix: bytes = b"",
        previous: "Guide | None" = None,
        budget: TimeBudget | None = None,
    ) -> None:
        """`language` must have a grammar. Without a suffix, the prefix is the beginning of a file.

        `previous`: a guide that is no longer used. If the prefixes agree up to its last line, its parse state is kept.
        `budget`: with the clock of all time limits, those of this module; a previous guide's is kept.
        """
        self.language = language
        self.customs: Customs | None = None  # lines that count as right though they do not parse
        self.budget: TimeBudget = (budget or TimeBudget()) if previous is None else previous.budget
        self.budget.restart(PREPARE_SECONDS)
        self._source = prefix[-MAX_CONTEXT_BYTES:], suffix[:MAX_CONTEXT_BYTES]
        self._before, self._after = self._parsed_text(previous)
        self._rest_of_line = self._after.partition(b"\n")[0].rstrip(b"\r")
        self._file_context: FileContext = FileContext(
            language, self._before, self._after, previous._file_context if previous is not None else None, self.budget
        )
        self._prefix_parser = self._prefix_parser_after(previous)
        self._is_inside_at_cursor: bool | None = None  # whether the cursor is inside a string or comment
        self.budget.restart(CALL_SECONDS)

    def _parsed_text(self, previous: "Guide | None") -> tuple[bytes, bytes]:
        """The text around the cursor as it is parsed: condensed, with `;` after statement macros.

        What was found is kept while a line that has begun is edited.
        """
        before, after = self._source
        if previous is not None and previous.language == self.language and previous._source[1] == after:
            old = previous._source[0]
            length = common_length(old, before)
            line_has_begun = old.rpartition(b"\n")[2].strip() and before.rpartition(b"\n")[2].strip()
            if b"\n" not in old[length:] + before[length:] and line_has_begun:
                return previous._before[: len(previous._before) - (len(old) - length)] + before[
                    length:
                ], previous._after
        return condense(self.language, *terminate_macros(self.language, before, after, self.budget), self.budget)

    def _prefix_parser_after(self, previous: "Guide | None") -> PrefixParser:
        length = 0 if previous is None else common_length(previous._before, self._before)
        # If it ends before the old cursor's line, most of the text is another: the file was condensed otherwise.
        if previous is None or previous.language != self.language or b"\n" in previous._before[length:]:
            return PrefixParser(self.language, self._before, self.budget)
        previous._prefix_parser.replace_end(length, self._before[length:])
        return previous._prefix_parser

    def prepared(self) -> Self:
        """Return itself, after parsing the file ahead of the first check."""
        self.budget.restart(PREPARE_SECONDS)
        if self._after.strip():
            self._file_context.prepare()
            self.budget.restart(PROBE_SECONDS)
            self._file_context.try_probes()
        self.budget.restart(CALL_SECONDS)
        return self

    def error_offset(self, generated: bytes, *, is_line: bool) -> int | None:
        """Return the offset in `generated` of the first word that is wrong in any dialect, or None.

        `is_line`: the last line of `generated` is complete.
        """
        self.budget.restart(CALL_SECONDS)
        found = self.syntax_error_offset(generated, is_line=is_line)
        return found if found is not None and self._is_wrong(generated, is_line) else None

    def fits(self, generated: bytes) -> bool:
        """Whether the file with `generated` at the cursor can be valid in some dialect; True without a suffix."""
        self.budget.restart(CALL_SECONDS)
        has_file = bool(self._after.strip())
        return not has_file or self._file_context.fits(generated) or not self._is_unbalanced_by(generated)

    def tolerates(self, generated: bytes) -> bool:
        """Whether a text is not refused where the grammar is no judge, at the cursor or of its line."""
        self.budget.restart(REPAIR_SECONDS)
        return (self._is_no_judge and self._is_not_refused(generated)) or self.is_customary(generated)

    def is_customary(self, generated: bytes, seconds: float = math.inf) -> bool:
        """Whether the last line of a text that is not refused is like lines of the repository that do not parse.

        `seconds`: of the time that is left, for the repository's files; what is not known then is not customary.
        """
        if self.customs is None or not seconds or not generated.strip():
            return False
        line = (self._before + self._completed_line(generated.rstrip(b"\n"))).rpartition(b"\n")[2]
        return self.customs.have(line, self.budget.part(seconds)) and self._is_not_refused(generated)

    def _is_not_refused(self, generated: bytes) -> bool:
        if self._is_wrong(generated, True) or self._is_unbalanced_by(generated):
            return False
        return not self.budget.is_spent

    def _is_unbalanced_by(self, generated: bytes) -> bool:
        has_file = bool(self._after.strip()) and not self._is_in_macro
        return has_file and self._file_context.is_unbalanced_by(generated)

    def _is_wrong(self, generated: bytes, is_line: bool) -> bool:
        text = self._completed_line(generated) if is_line else generated
        if is_line and self._ends_inside_quotes(text):
            return True
        return not self._is_in_macro and self._prefix_parser.adds_unmatched_brackets(text)

    @cached_property
    def _is_in_macro(self) -> bool:
        """Whether the cursor's line belongs to a macro's definition, which may hold anything."""
        if self.language not in PREPROCESSED:
            return False
        line_start = self._before.rfind(b"\n") + 1
        while line_start and self._before[:line_start].endswith((b"\\\n", b"\\\r\n")):
            line_start = self._before.rfind(b"\n", 0, line_start - 1) + 1
        return MACRO_DEFINITION.match(self._before, line_start) is not None

    def syntax_error_offset(self, generated: bytes, *, is_line: bool) -> int | None:
        """Return the offset in `generated` of the first word that the grammar cannot parse, or None.

        `is_line`: the last line of `generated` is complete, with the rest of the cursor's line.
        """
        if not self._prefix_parser.is_parsed:
            return None
        text = self._completed_line(generated) if is_line else generated
        if is_line and self._ends_inside_quotes(text):
            return max(0, len(generated) - 1)
        # A prefix of a valid file has no error, and the validity of the file is checked at the end anyway.
        if is_line and self._after.strip() and self._file_context.errors_with(generated) == 0:
            return None
        is_ended = is_line and not text.endswith(b"\\")  # a line that a backslash continues has no end
        found = self._prefix_parser.error_offset(text + b"\n" if is_ended else text)
        # After earlier errors, a parser's error offsets are less reliable: the error count of the whole file decides.
        if found is not None and is_line and self._prefix_parser.has_errors and self._adds_no_errors(generated):
            return None
        return None if found is None else min(found, max(0, len(generated) - 1))

    def can_go_on(self, generated: bytes) -> bool:
        """Whether a next line can be right after a complete last one: not after `class X` in Python."""
        lines, text = NEXT_LINES.get(self.language), generated.rstrip(b"\n")
        if lines is None or self._after.strip() or not text.strip() or self._prefix_parser.has_errors:
            return True
        whole = self._before + text
        if shape_of(whole).opens_brackets:  # lines end no statements there
            return True
        last = whole.rpartition(b"\n")[2]
        starts = (text + b"\n" + last[: indent_length(last)] + line for line in lines)
        return any(self._prefix_parser.error_offset(start + b"\n") is None for start in starts)

    def _completed_line(self, generated: bytes) -> bytes:
        """The text with the rest of the cursor's line, if it ends on a line that this continues."""
        is_next_line = b"\n" in generated and not generated.rpartition(b"\n")[2].strip()
        return generated if is_next_line else generated + self._rest_of_line

    def _adds_no_errors(self, generated: bytes) -> bool:
        """Whether the file has no more errors than before, or without a suffix no bracket too many."""
        if self._after.strip():
            return self.parses(generated)
        return self._is_no_judge and not self._prefix_parser.adds_unmatched_brackets(generated)

    @property
    def _is_no_judge(self) -> bool:
        """Whether the grammar cannot parse what stands just before the cursor, or a macro is defined there.

        It can if another line, as far as tried, would leave the file without errors.
        """
        if self._is_in_macro:
            return True
        can_be_right = bool(self._after.strip()) and self._file_context.can_be_right
        return not can_be_right and self._prefix_parser.has_errors_in_last_lines(MAX_ERROR_LINES)

    def _ends_inside_quotes(self, generated: bytes) -> bool:
        """Whether the text ends inside quotes that must close on the same line; quotes in comments do not count."""
        line = (self._before + generated).rpartition(b"\n")[2]
        if len(line) > MAX_QUOTED_LINE_BYTES or (
            not may_end_inside_quotes(line) and not (b"/" in line and self.language in HAS_REGEX_LITERALS)
        ):
            return False
        if not self.is_inside_string_or_comment(generated) or self.is_inside_string_or_comment(generated + b"\n"):
            return False
        return not all(self.is_inside_string_or_comment(generated + quote) for quote in QUOTE_CLOSERS)

    def parses(self, generated: bytes) -> bool:
        """Whether no probe gives the file fewer errors than `generated` at the cursor; True without a suffix.

        In a file that has errors anyway their number may fall as brackets open, so these are counted, too.
        """
        if not self._after.strip() or self._file_context.errors_with(generated) == 0:
            return True
        return self._file_context.fits(generated) and not self._is_unbalanced_by(generated)

    def needed_shape(self) -> LineShape:
        """Shape of the line that the file needs at the cursor, as far as known."""
        return self._file_context.needed_shape() if self._after.strip() else PLAIN

    def is_misshapen(self, generated: bytes) -> bool:
        """Whether a finished text cannot fit, by its brackets."""
        return bool(self._after.strip()) and not self._is_in_macro and self._file_context.is_misshapen(generated)

    def adds_no_errors(self, generated: bytes) -> bool:
        """Whether the file has no more errors with `generated` at the cursor than with nothing there."""
        with_nothing, found = self._file_context.errors_with(b""), self._file_context.errors_with(generated)
        return with_nothing is not None and found is not None and found <= with_nothing

    def removes_errors(self, generated: bytes) -> bool:
        """Whether the file has fewer errors with `generated` at the cursor than with nothing there."""
        found = self._file_context.errors_with(generated)
        with_nothing = None if found is None else self._file_context.errors_with(b"")
        return found is not None and with_nothing is not None and found < with_nothing

    def accepts(self, generated: bytes) -> bool:
        """Whether lines that parse pass further checks; always True here, subclasses override it."""
        return True

    def final_verdict(self, generated: bytes) -> tuple[bool | None, str]:
        """Return whether a finished text is valid, None if that could not be checked, and the reason if it is not."""
        return (True, "") if generated.strip() else (False, "nothing that parses was found")

    def is_inside_string_or_comment(self, generated: bytes) -> bool:
        """Whether the text ends inside a string or comment: a byte that no language allows causes no error there."""
        if DELIMITER.search(generated):
            return self._allows_anything_after(generated)
        if self._is_inside_at_cursor is not None:
            return self._is_inside_at_cursor
        found = self._allows_anything_after(b"")
        self._is_inside_at_cursor = None if self.budget.is_spent else found
        return found

    def _allows_anything_after(self, generated: bytes) -> bool:
        return self._prefix_parser.is_parsed and self._prefix_parser.error_offset(generated + b"\x01 \x01") is None

    def repaired(self, generated: bytes) -> bytes | None:
        """Return the longest beginning of `generated` that is valid, or None.

        What is open is closed, as the suffix requires, but not by what is cut off: a call that lost an argument and is
        closed in its place would mean something else.
        """
        self.budget.restart(REPAIR_SECONDS)
        if (self._is_no_judge and self._is_not_refused(generated)) or self._is_right(generated):
            return generated
        error_offset = self.syntax_error_offset(generated, is_line=False)
        kept = generated if error_offset is None else generated[:error_offset]
        ends = [*islice(word_ends(kept), MAX_DROPPED_WORDS), 0]
        # Whole texts are tried first: closing one that is wrong elsewhere takes many checks for nothing.
        whole = ((end, b"") for end in ends[:MAX_WHOLE_CUTS])
        closed = ((end, closer) for end in ends for closer in islice(self._closers(generated, end), MAX_CLOSERS))
        found, was_inside = None, self.is_inside_string_or_comment(generated)
        for end, closer in chain(whole, closed):
            text = generated[:end] + closer
            is_blank = not text.strip() or (end == 0 and closer in TERMINATORS)
            is_right = not is_blank and self._may_fit(text) and self.parses(text) and self._can_end(text)
            if is_right and not self.budget.is_spent:
                if self._rest_of_line.strip() or not self.is_inside_string_or_comment(text):
                    return text
                found = found or (text if was_inside else None)
            if self.budget.is_spent:
                break
        return found

    def _may_fit(self, generated: bytes) -> bool:
        """Whether a text may fit by its brackets, told without parsing."""
        return not self._after.strip() or self._is_in_macro or not self._file_context.has_other_brackets(generated)

    def _is_right(self, generated: bytes) -> bool:
        """Whether a text needs no repair: it parses, and does not end in a string or comment that nothing closes."""
        is_open = not self._after.strip() and self.is_inside_string_or_comment(generated)
        return bool(generated.strip()) and not is_open and self.parses(generated) and self._can_end(generated)

    def closed_block(self, generated: bytes) -> bytes | None:
        """Return the most lines of `generated` that are valid with their blocks closed, or else all words; or None.

        Only the brackets of blocks are closed by what is cut off.
        """
        self.budget.restart(CLOSE_SECONDS)
        outside = len(self._prefix_parser.open_brackets)
        lines = reversed([place for place in range(len(generated)) if generated.startswith(b"\n", place)])
        for end in (
            len(generated),
            *islice(lines, MAX_DROPPED_LINES),
            *islice(word_ends(generated), MAX_DROPPED_WORDS),
        ):
            head = generated[:end].rstrip()
            opened = self._prefix_parser.extended(head).open_brackets[outside:]
            if self.budget.is_spent:
                return None
            braces = {"{": b"\n}", "${": b"}"}
            closers = b"".join(braces.get(bracket, CLOSING_BRACKETS[bracket]) for bracket in reversed(opened))
            is_changed = not BLOCK_BRACKETS.issuperset(opened) and has_common_sign(closers, generated[end:])
            if not head.strip() or is_changed:
                continue
            closed = head + closers
            for text in (closed, closed + b";"):
                if self._is_whole(text, bool(outside)) and self.parses(text) and self._can_end(text):
                    return None if self.budget.is_spent else text
        return None

    def _string_closers(self, head: bytes) -> Iterator[bytes]:
        """Yield the ends of the strings and comments that the text may end in."""
        text = self._before + head
        delimiters = MULTILINE_DELIMITERS.get(self.language, ())
        for opener, closer in delimiters:
            if is_inside_delimiters(text, opener, closer):
                yield b" */" if closer == b"*/" else closer
        yield from QUOTE_CLOSERS

    def _is_whole(self, text: bytes, is_inside_brackets: bool) -> bool:
        """Whether the file may end after a text, or the cursor is inside brackets."""
        return is_inside_brackets or count_errors(self.language, self._before + text) <= self._errors_before

    @cached_property
    def _errors_before(self) -> int:
        return count_errors(self.language, self._before[: self._before.rfind(b"\n") + 1])

    def _can_end(self, text: bytes) -> bool:
        if self.syntax_error_offset(text, is_line=True) is not None:
            return False
        if self._after.strip():
            return True
        fewest = min_errors(self.language, self._before + text, 0, self.budget)
        is_closed = fewest is not None and (fewest == 0 or self._prefix_parser.has_errors)
        return is_closed or self.budget.is_spent

    def _closers(self, generated: bytes, end: int) -> Iterator[bytes]:
        """Yield candidate ends of the first `end` bytes: nothing, quotes, brackets; none of these is in the rest."""
        yield b""
        head, rest = generated[:end], generated[end:]
        quotes = (b"", *self._string_closers(head)) if self.is_inside_string_or_comment(head) else (b"",)
        quotes = tuple(quote for quote in quotes if not has_common_sign(quote, rest))
        if not self._after.strip():
            yield from quotes[1:]
            return
        for quote in quotes:
            prefix_parser = self._prefix_parser.extended(head + quote)
            brackets = prefix_parser.open_brackets[-MAX_CLOSED_BRACKETS:]
            for count in range(len(brackets) + 1):
                closed = bracket_closers(prefix_parser, brackets[len(brackets) - count :], BRACKET_FILLERS, self.budget)
                for terminator in TERMINATORS if closed is not None else ():
                    closer = quote + (closed or b"") + terminator
                    if not has_common_sign(closer, rest):
                        yield closer


def has_common_sign(closer: bytes, rest: bytes) -> bool:
    """Whether one of the signs of `closer` occurs in the rest of a text."""
    return not set(closer.translate(None, b" \n")).isdisjoint(rest)


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
