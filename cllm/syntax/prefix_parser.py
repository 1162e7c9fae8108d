"""A text that is written on: the first word of it that is wrong whatever follows.

An LR parser refuses a word as soon as no right text begins so, and never later. Tree-sitter then recovers and goes on,
and its tree does not show where that was: an unfinished block and a broken one are both an ERROR around everything. Its
log does: "resume" stands where none of its readings could go on, so there the text is wrong; unless it is the text's
end that they could not go on with, and then it is unfinished, and no more.

What was wrong before is known and does not count. Left out: after such a offset a parser that skips words may go on
beside the one that reads them, and hide a second fault; `errors` of the whole text counts it.
"""

from tree_sitter import LogType, Tree

from cllm.syntax.grammars import parse_with, parser_for

# What ends a comment or a text that goes on over lines: the lexer finds no word in one that has no end.
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
Point = tuple[int, int]

# Of other languages the lexer takes a string that its line has not ended yet word by word.
LINE_QUOTES = {"Python": (b'"', b"'")}


class PrefixParser:
    """A beginning, parsed once, and whatever is written after it: 0.1 to 1 ms a question."""

    def __init__(self, language: str, prefix: bytes) -> None:
        """`language` must have a grammar."""
        parser = parser_for(language)
        assert parser is not None, f"no grammar for {language}"
        self._parser, self._multiline_delimiters = parser, MULTILINE_DELIMITERS.get(language, ())
        self._quotes = LINE_QUOTES.get(language, ())
        self._text = b""
        self._tree: Tree | None = None
        self._known_errors: set[int] | None = None
        self.extend(prefix)

    def extend(self, appended: bytes) -> None:
        """What was written belongs to the beginning now, with its faults."""
        text = self._text + appended
        self._tree = parse_with(self._parser, text, self._edited_tree(text))
        self._text, self._known_errors = text, None

    @property
    def _known_error_offsets(self) -> set[int]:
        if self._known_errors is None:
            self._known_errors = set(self._error_offsets(b""))
        return self._known_errors

    @property
    def has_errors(self) -> bool:
        """Whether the beginning has faults of its own."""
        return bool(self._known_error_offsets)

    def error_offset(self, appended: bytes) -> int | None:
        """Where in `appended` the first word begins that is wrong after the beginning, whatever follows; or None.

        The last word counts as it stands, though it may be the beginning of a longer one. 0 where the word begins
        before what is written. None, too, where parsing took longer than `PARSE_SECONDS`.
        """
        found = self._error_offsets(appended)
        new = [offset for offset in found if offset not in self._known_error_offsets] if found else []
        return max(0, min(new) - len(self._text)) if new else None

    def _error_offsets(self, appended: bytes) -> list[int]:
        """Where words begin that are wrong; if the text may end inside a comment or the like, as if that ended here."""
        text = self._text + appended
        end = len(text.rstrip())
        found: list[int] = []
        line = text.rpartition(b"\n")[2]
        closers = [
            closer for opener, closer in self._multiline_delimiters if is_inside_delimiters(text, opener, closer)
        ]
        for closer in (*closers, *(quote for quote in self._quotes if line.count(quote) % 2), b""):
            places = self._logged_error_offsets(text + closer, end)
            if not places:
                return []
            found = places if not found or places[0] > found[0] else found
        return found

    def _logged_error_offsets(self, text: bytes, end: int) -> list[int]:
        """Where the words begin, before `end`, that the parser could not go on with."""
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
            parse_with(self._parser, text, self._edited_tree(text))
        finally:
            del self._parser.logger
        starts = line_starts(text) if log_positions else []
        found = []
        for position in log_positions:
            row, column = (int(field.rpartition(":")[2]) for field in position.split(", ")[-2:])
            offset = starts[row] + column
            offset += len(text) - offset - len(text[offset:].lstrip())  # the parser stands behind the word before
            if offset < end:
                found.append(offset)
        return found

    def _edited_tree(self, text: bytes) -> Tree | None:
        """The beginning's tree, told that the text goes on to `text`."""
        if self._tree is None:
            return None
        tree, old, begin = self._tree.copy(), len(self._text), point_at(self._text, len(self._text))
        tree.edit(old, old, len(text), begin, begin, point_at(text, len(text)))
        return tree


def is_inside_delimiters(text: bytes, opener: bytes, closer: bytes) -> bool:
    """Whether a text may end between these two: by the look of it, as they may stand in texts and comments."""
    return text.count(opener) % 2 == 1 if opener == closer else text.rfind(opener) > text.rfind(closer)


def line_starts(text: bytes) -> list[int]:
    """Offsets of the lines' first bytes."""
    starts = [0]
    while (offset := text.find(b"\n", starts[-1])) >= 0:
        starts.append(offset + 1)
    return starts


def point_at(text: bytes, offset: int) -> Point:
    """Row and column, in bytes, of an offset."""
    return text.count(b"\n", 0, offset), offset - text.rfind(b"\n", 0, offset) - 1
