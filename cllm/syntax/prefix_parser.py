"""Incremental check of a growing text: the first word that is an error whatever follows.

An LR parser rejects a word as soon as no valid text begins that way, and never later. Tree-sitter then recovers, and
its tree does not show the position: an unfinished block and a broken one both become an ERROR around everything. Its
log shows it: "resume" is logged where no parse version could continue, so the text has an error there; if the
lookahead was the end of the text, the text is only unfinished.

Errors of the prefix are known and do not count. A limitation: after an error, a parse version that skips words may
continue next to the one that reads them and hide a second error; `count_errors` of the whole text counts it.
"""

import copy

from tree_sitter import LogType, Tree

from cllm.syntax.balance import brackets_of
from cllm.syntax.edited_tree import edited_tree
from cllm.syntax.grammars import parse_with, parser_for
from cllm.syntax.open_brackets import open_brackets_of
from cllm.syntax.time_budget import TimeBudget

# Delimiters of comments and strings that may span lines: the lexer finds no token in one without an end.
BLOCK_COMMENT = (b"/*", b"*/")
MULTILINE_DELIMITERS = {
    "C": (BLOCK_COMMENT,),
    "C++": (BLOCK_COMMENT, (b'R"(', b')"')),
    "Go": (BLOCK_COMMENT, (b"`", b"`")),
    "Java": (BLOCK_COMMENT, (b'"""', b'"""')),
    "JavaScript": (BLOCK_COMMENT, (b"`", b"`")),
    "Python": ((b'"""', b'"""'), (b"'''", b"'''")),
    "Rust": (BLOCK_COMMENT, (b'"', b'"'), (b'#"', b'"#')),
    "Shell": ((b'"', b'"'), (b"'", b"'")),
    "TSX": (BLOCK_COMMENT, (b"`", b"`")),
    "TypeScript": (BLOCK_COMMENT, (b"`", b"`")),
}
QUOTING_NODES = {"block_comment", "comment", "comment_content", "string_content"}

# Quotes of strings that end on their line. In other languages the lexer splits an unfinished string into words.
LINE_QUOTES = {"Python": (b'"', b"'")}


class PrefixParser:
    """A prefix that is parsed once, and checks of texts after it, 0.1 to 1 ms each."""

    def __init__(self, language: str, prefix: bytes, budget: TimeBudget | None = None) -> None:
        """`language` must have a grammar. `budget`: of each parse (default: PARSE_SECONDS)."""
        parser = parser_for(language)
        assert parser is not None, f"no grammar for {language}"
        self._language, self._budget = language, budget
        self._parser, self._multiline_delimiters = parser, MULTILINE_DELIMITERS.get(language, ())
        self._quotes = LINE_QUOTES.get(language, ())
        self._text = b""
        self._tree: Tree | None = None
        self._known_errors: set[int] | None = None
        self._num_unmatched: int | None = None
        self._open_closer: bytes | None = None
        self.replace_end(0, prefix)

    def replace_end(self, length: int, end: bytes) -> None:
        """Replace what follows the first `length` bytes of the prefix; the errors of the new one are known errors."""
        text = self._text[:length] + end
        tree, old = self._tree, self._text
        edited = None if tree is None else edited_tree(tree, old, len(old), text, len(text), length)
        self._tree, self._text = parse_with(self._parser, text, edited, self._budget), text
        self._known_errors, self._num_unmatched, self._open_closer = None, None, None

    def extended(self, appended: bytes) -> "PrefixParser":
        """Return a parser of the longer prefix; this one stays as it is."""
        longer = copy.copy(self)
        longer.replace_end(len(self._text), appended)
        return longer

    @property
    def open_brackets(self) -> list[str]:
        """The brackets that are open at the end, outermost first; none if the prefix was not parsed in time."""
        return open_brackets_of(self._tree)

    @property
    def is_parsed(self) -> bool:
        """Whether the prefix was parsed within the time limit; without it, nothing after it is an error."""
        return self._tree is not None

    @property
    def _known_error_offsets(self) -> set[int]:
        if self._known_errors is None:
            found = self._error_offsets(b"") if self.is_parsed else None
            if found is None:
                return set()
            self._known_errors = set(found)
        return self._known_errors

    @property
    def has_errors(self) -> bool:
        """Whether the prefix itself has errors."""
        return bool(self._known_error_offsets)

    def has_errors_in_last_lines(self, num_lines: int) -> bool:
        """Whether the last lines of the prefix, the cursor's line included, have errors."""
        begin = len(self._text)
        for _ in range(num_lines):
            begin = self._text.rfind(b"\n", 0, max(0, begin))
        return max(self._known_error_offsets, default=-1) > begin

    def adds_unmatched_brackets(self, appended: bytes) -> bool:
        """Whether closing brackets in `appended` have no counterpart, besides those of the prefix that have none."""
        if self._num_unmatched is None:
            self._num_unmatched = self._count_unmatched(b"")
        found = self._count_unmatched(appended)
        return found is not None and self._num_unmatched is not None and found > self._num_unmatched

    def _count_unmatched(self, appended: bytes) -> int | None:
        """Number of closing brackets without a counterpart up to the end of `appended`; None: not known in time."""
        tree = self._parse(appended) if self.is_parsed else None
        found = brackets_of(tree, self._text + appended, self._language) if tree is not None else None
        return None if found is None else len(found.unmatched)

    def error_offset(self, appended: bytes) -> int | None:
        """Return the offset in `appended` of the first word that is an error whatever follows; None if there is none.

        The last word is checked as it is, though it may be the beginning of a longer one. The offset is 0 if the word
        begins before `appended`. None is also returned if parsing takes longer than the limit.
        """
        if self._closer and self._closer not in appended and b"{" not in appended:
            return None
        found = self._error_offsets(appended) if self.is_parsed else None
        new = [offset for offset in found if offset not in self._known_error_offsets] if found else []
        return max(0, min(new) - len(self._text)) if new else None

    @property
    def _closer(self) -> bytes:
        """End of the comment or string in which the prefix ends, b"" if it ends in none: no text there is an error.

        Without it, a grammar takes each word of an open comment for an error, 25 ms in a long one.
        """
        if self._open_closer is None:
            found = (each for each in self._multiline_delimiters if is_inside_delimiters(self._text, *each))
            self._open_closer = next((closer for _, closer in found if self._ends_before(closer)), b"")
        return self._open_closer

    def _ends_before(self, closer: bytes) -> bool:
        """Whether the prefix ends inside a comment or string that `closer` ends."""
        end = len(self._text)
        tree = self._parse(closer) if self.is_parsed else None
        node = tree and tree.root_node.descendant_for_byte_range(max(0, end - 1), end)
        return node is not None and node.type in QUOTING_NODES

    def _error_offsets(self, appended: bytes) -> list[int] | None:
        """Offsets of erroneous words, None if not known in time.

        A comment or string that may be open at the end is closed for the check.
        """
        text = self._text + appended
        end = len(text.rstrip())
        found: list[int] = []
        line = text.rpartition(b"\n")[2]
        closers = [
            closer for opener, closer in self._multiline_delimiters if is_inside_delimiters(text, opener, closer)
        ]
        for closer in (*closers, *(quote for quote in self._quotes if line.count(quote) % 2), b""):
            offsets = self._logged_error_offsets(appended + closer, end)
            if not offsets:
                return offsets
            found = offsets if not found or offsets[0] > found[0] else found
        return found

    def _logged_error_offsets(self, appended: bytes, end: int) -> list[int] | None:
        """Offsets, before byte `end` of the text, of words that the parser rejected, from its log; None: too slow."""
        process, lookahead, log_positions = "", "", list[str]()

        def on_log(kind: LogType, message: str) -> None:
            nonlocal process, lookahead
            if kind is not LogType.PARSE:
                return
            if message.startswith("process "):
                process = message
            elif message.startswith("detect_error "):
                lookahead = message
            elif message.startswith("resume ") and not lookahead.endswith(":end"):
                log_positions.append(process)

        self._parser.logger = on_log
        try:
            tree = self._parse(appended)
        finally:
            del self._parser.logger
        if tree is None:
            return None
        text = self._text + appended
        starts = line_starts(text) if log_positions else []
        found = []
        for log_position in log_positions:
            row, column = (int(field.rpartition(":")[2]) for field in log_position.split(", ")[-2:])
            offset = starts[row] + column
            offset += len(text) - offset - len(text[offset:].lstrip())  # logged: the end of the word before
            if offset < end:
                found.append(offset)
        return found

    def _parse(self, appended: bytes) -> Tree | None:
        """The tree of the prefix with `appended`, whose unchanged parts are those of the prefix; None: not in time."""
        text, tree = self._text + appended, self._tree
        old = None if tree is None else edited_tree(tree, self._text, len(self._text), text, len(text))
        return parse_with(self._parser, text, old, self._budget)


def is_inside_delimiters(text: bytes, opener: bytes, closer: bytes) -> bool:
    """Return whether a text may end between two delimiters; a heuristic, since strings may contain them too."""
    return text.count(opener) % 2 == 1 if opener == closer else text.rfind(opener) > text.rfind(closer)


def line_starts(text: bytes) -> list[int]:
    """Return the offset of the first byte of each line."""
    starts = [0]
    while (offset := text.find(b"\n", starts[-1])) >= 0:
        starts.append(offset + 1)
    return starts
