"""What a repository does though its grammar cannot parse it: macros with a block, newer syntax, dialects.

A line that does not parse counts as right if the repository has a line of the same form that begins with the same word,
and the grammar rejects that line, too. The form of a line is what remains of it without names, numbers, strings and the
contents of brackets: `each(p, list) {` and `each(node, &head->next) {` are both `each() {`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tree_sitter import Tree

from cllm.generation.guide.line_shape import STRING
from cllm.syntax.grammars import language_with_grammar, parse
from cllm.syntax.time_budget import TimeBudget

MAX_CHECKED_LINES = 3  # of the same form, whose files are parsed
MAX_DOCUMENT_BYTES = 1 << 18  # of a file that is parsed
MAX_KNOWN_FILES = 32
FIRST_WORD = re.compile(rb"[^\s\w]*[\w\x80-\xff]+\W?")  # of a line, with what precedes it and the next byte
PARENTHESES, SQUARE_BRACKETS = re.compile(rb"\([^()]*\)"), re.compile(rb"\[[^\[\]]*\]")
WORD = re.compile(rb"[\w\x80-\xff]+")


@dataclass(frozen=True)
class Customs:
    """Lines of the repository and of the file at the cursor that the grammar of a language rejects.

    `find_places`: yields the places of a text, each as (text of its file, offset in that text, path of the file); a
    file without a path is in the language.
    """

    language: str
    find_places: Callable[[bytes], Iterable[tuple[bytes, int, str]]]
    file_errors: "FileErrors"

    def have(self, line: bytes, budget: TimeBudget) -> bool:
        """Whether there is a line like this one that does not parse either; False if not known in time."""
        first_word, wanted = FIRST_WORD.match(line.strip()), form_of(line)
        if first_word is None:
            return False
        num_checked = 0
        for text, position, path in self.find_places(first_word[0]):
            begin, end = text.rfind(b"\n", 0, position) + 1, text.find(b"\n", position)
            if (
                end < 0
                or not is_in_language(path, self.language)
                or len(text) > MAX_DOCUMENT_BYTES
                or text[begin:position].strip()
                or form_of(text[begin:end]) != wanted
            ):
                continue
            offsets = self.file_errors.offsets(self.language, text, budget)
            if offsets is None:
                return False
            if any(position <= offset <= end for offset in offsets):
                return True
            num_checked += 1
            if num_checked == MAX_CHECKED_LINES:
                return False
        return False


class FileErrors:
    """Where the grammars reject files of the repository. The files used last are kept: parsing one takes 2 to 16 ms."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], list[int]] = {}

    def offsets(self, language: str, text: bytes, budget: TimeBudget) -> list[int] | None:
        """Where errors of a file begin; None if not known in time."""
        key = language, text
        if key not in self._known:
            tree = parse(language, text, budget)
            if tree is None:
                return None
            if len(self._known) == MAX_KNOWN_FILES:
                del self._known[next(iter(self._known))]
            self._known[key] = list(error_offsets(tree))
        self._known[key] = self._known.pop(key)  # the last one used
        return self._known[key]


def is_in_language(path: str, language: str) -> bool:
    """Whether a file may be in a language, by its name; a C header may be in C++."""
    found = language_with_grammar(path)
    return not path or found == language or (found == "C" and language == "C++")


def form_of(line: bytes) -> bytes:
    """The form of a line: its first word, then its signs, with `w` for each other word."""
    text, count = STRING.sub(b"w", line.strip()), 1
    while count:
        text, in_parentheses = PARENTHESES.subn(b"\x01", text)
        text, in_square_brackets = SQUARE_BRACKETS.subn(b"\x02", text)
        count = in_parentheses + in_square_brackets
    first = WORD.search(text)
    end = first.end() if first else 0
    return b"".join((text[:end] + WORD.sub(b"w", text[end:])).split())


def error_offsets(tree: Tree) -> Iterator[int]:
    """Yield where the ERROR and MISSING nodes of a tree begin."""
    nodes = [tree.root_node]
    while nodes:
        node = nodes.pop()
        if node.is_error or node.is_missing:
            yield node.start_byte
        nodes += [child for child in node.children if child.has_error or child.is_missing]
