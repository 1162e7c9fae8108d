"""The brackets that are open at the end of a text, found in its tree."""

from collections.abc import Iterator

from tree_sitter import Node, Tree

from cllm.syntax.grammars import parse
from cllm.syntax.time_budget import TimeBudget

CLOSING_BRACKETS = {"(": b")", "[": b"]", "{": b"}", "${": b"}", "#if": b"\n#endif\n", "#ifdef": b"\n#endif\n"}
CLOSING_BRACKETS |= {"#ifndef": b"\n#endif\n", "#[": b"]", "<": b">"}
CLOSERS = {")", "]", "}", "#endif", ">"}


def open_brackets(language: str, text: bytes, budget: TimeBudget | None = None) -> list[str]:
    """Return the unclosed brackets, outermost first; preprocessor conditionals of C count as brackets."""
    return open_brackets_of(parse(language, text, budget))


def open_brackets_of(tree: Tree | None) -> list[str]:
    """Return the unclosed brackets of a text's tree, outermost first; none if there is no tree."""
    found: list[str] = []
    for leaf in leaves_of(tree, only_erroneous=True) if tree is not None else ():
        _track_bracket(leaf, found)
    return found


def leaves_of(tree: Tree, *, only_erroneous: bool = False) -> Iterator[Node]:
    """Yield the leaves of a tree. `only_erroneous`: without those of subtrees without errors, which are balanced."""
    cursor = tree.walk()
    while True:
        node = cursor.node
        assert node is not None
        if node.child_count == 0 and not node.is_missing:
            yield node
        if (not only_erroneous or node.has_error) and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _track_bracket(node: Node, found: list[str]) -> None:
    if node.type in CLOSING_BRACKETS and (node.type != "<" or _opens_type_list(node)):
        found.append(node.type)
    elif node.type in CLOSERS and found and CLOSING_BRACKETS[found[-1]].strip() == node.type.encode():
        found.pop()


def _opens_type_list(node: Node) -> bool:
    """Whether a `<` opens a list of types and is not a comparison."""
    return node.parent is not None and node.parent.type.startswith(("type_", "template_"))
