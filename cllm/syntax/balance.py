"""Unmatched brackets of a tree with errors: those that no grammar is needed for to be wrong.

Where a grammar cannot parse (a macro, newer syntax), its errors prove nothing, but it still finds the words, and a
bracket without its counterpart is wrong in any dialect. A subtree without errors is balanced, so only subtrees with
errors are entered, and those with a line of a preprocessor conditional: of this the first branch counts, and `#else`
starts again with the brackets that were open before the `#if`.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass, field

from tree_sitter import Node, Tree

PAIRS = {")": "(", "]": "[", "}": "{"}
# Keywords that pair like brackets. A `)` of Shell may also end a pattern of a `case`.
SHELL_PAIRS = {"]": "[", "}": "{", "fi": "if", "done": "do", "esac": "case"}
BRACKET_CHARACTERS = frozenset("()[]{}$#<>!")  # of the tokens that hold brackets, like `#[` or `${`
DIRECTIVE = re.compile(rb"^[ \t]*(#)[ \t]*(if|ifdef|ifndef|else|elif|elifdef|elifndef|endif)\b", re.MULTILINE)
PREPROCESSED = {"C", "C++"}
MAX_NODES = 20_000  # that are visited, 20 ms; a tree with more is not judged


@dataclass
class Brackets:
    """Unmatched brackets: offsets of the closing ones, and those that are open at the end, outermost first."""

    unmatched: list[int] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    _conditionals: list[tuple[list[str], list[str] | None]] = field(default_factory=list)

    @property
    def num_unmatched(self) -> int:
        """Number of brackets without a counterpart."""
        return len(self.unmatched) + len(self.open)

    def add_directive(self, name: bytes) -> None:
        """Add a line of a preprocessor conditional, like `else`."""
        if name.startswith(b"if"):
            self._conditionals.append((list(self.open), None))
        elif self._conditionals:
            before, first = self._conditionals.pop()
            first = self.open if first is None else first
            if name == b"endif":
                self.open = first
            else:
                self._conditionals.append((before, first))
                self.open = list(before)

    def add_token(self, token: str, offset: int, pairs: dict[str, str]) -> None:
        """Add the next token of the text."""
        if token in pairs or token in pairs.values():
            self._add_bracket(token, offset, pairs)
        elif len(token) > 1 and BRACKET_CHARACTERS.issuperset(token):
            for character in token:
                if character in pairs or character in pairs.values():
                    self._add_bracket(character, offset, pairs)

    def _add_bracket(self, token: str, offset: int, pairs: dict[str, str]) -> None:
        if token not in pairs:
            self.open.append(token)
        elif pairs[token] not in self.open:
            self.unmatched.append(offset)
        else:
            while self.open.pop() != pairs[token]:
                self.unmatched.append(offset)


def brackets_of(tree: Tree, text: bytes, language: str) -> Brackets | None:
    """Return the unmatched brackets of a text's tree; None if more than MAX_NODES nodes would have to be visited."""
    found, pairs, cursor = Brackets(), SHELL_PAIRS if language == "Shell" else PAIRS, tree.walk()
    is_preprocessed = language in PREPROCESSED
    directives = {match.start(1): match[2] for match in DIRECTIVE.finditer(text)} if is_preprocessed else {}
    lines = list(directives)
    for _ in range(MAX_NODES):
        node = cursor.node
        assert node is not None
        has_directive = bisect_left(lines, node.start_byte) < bisect_left(lines, node.end_byte)
        if node.child_count == 0:
            _add_leaf(found, node, directives, pairs)
        elif (node.has_error or has_directive) and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found
    return None


def _add_leaf(found: Brackets, node: Node, directives: dict[int, bytes], pairs: dict[str, str]) -> None:
    if node.start_byte in directives:
        found.add_directive(directives[node.start_byte])
    elif not node.is_named and not node.is_missing:
        found.add_token(node.type, node.start_byte, pairs)
