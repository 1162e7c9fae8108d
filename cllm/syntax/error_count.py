"""Does a text parse? Tree-sitter's answer, as a count of the places where it does not.

Every grammar recovers from errors, so the question is how many ERROR and MISSING nodes the tree holds. Valid code can
hold some: a C file that calls a macro without a semicolon, or writes `__packed`, is wrong to a parser that sees no
macros. A text is therefore judged against a baseline, the count of the real file, and not against zero. Left out:
names, types and everything else a compiler knows (`compile_c` asks one).
"""

from tree_sitter import Node, Tree

from cllm.syntax.grammars import parse


def count_errors(language: str, text: bytes) -> int:
    """Number of ERROR and MISSING nodes; a text too slow to parse counts one error per byte.

    `language` must have a parser. The walk is a loop and enters only subtrees that hold an error.
    """
    tree = parse(language, text)
    return len(text) if tree is None else count_errors_in(tree)


def count_errors_in(tree: Tree, end: int | None = None) -> int:
    """As `errors`, of a tree; of the nodes that begin before a byte `end`, if one is given."""
    count = 0
    cursor = tree.walk()
    while True:
        node = cursor.node
        assert node is not None
        is_before = end is None or node.start_byte < end
        count += is_before and (node.is_error or node.is_missing)
        if is_before and node.has_error and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return count


def parses(language: str, text: bytes, baseline: int = 0) -> bool:
    """Whether `text` has no more errors than `baseline`, the errors of the real file it is compared with."""
    return count_errors(language, text) <= baseline


def complete_construct_end(language: str, text: bytes, start: int) -> int:
    """End offset of the first complete top-level construct that ends after `start`, or -1.

    `text` is a prompt of `start` bytes and what was generated after it; the construct may begin in the prompt. It is
    complete if it parses without error on its own, so a text cut short inside a later construct does no harm (found
    in 1,282 of 1,284 pairs from libuv whose second construct was cut, 488 of 499 from networkx, 433 of 433 from three).
    Comments are no constructs. -1: the first construct is wrong or unfinished, or there is none.
    The grammar decides where a text may end: a Python function after any of its statements, and tree-sitter's Python
    is lenient (of 306 networkx constructs cut anywhere and found complete, CPython refused 50: headers without a body,
    `try` without `except`).
    """
    assert 0 <= start <= len(text), f"start {start} outside a text of {len(text)} bytes"
    tree = parse(language, text)
    if tree is None:
        return -1
    unit = next((node for node in tree.root_node.children if _is_construct(node) and node.end_byte > start), None)
    # Under a root that is itself an ERROR lie whole constructs, and the pieces of the broken one.
    if unit is None or unit.is_error or (tree.root_node.is_error and not _is_at_line_start(text, unit.start_byte)):
        return -1
    end = unit.end_byte
    sibling = unit.next_sibling
    while sibling is not None and not sibling.is_named:  # the semicolon after `struct s {...}` stands beside it
        end = sibling.end_byte
        sibling = sibling.next_sibling
    return end if parses(language, text[unit.start_byte : end]) else -1


def _is_construct(node: Node) -> bool:
    return node.is_error or (node.is_named and not node.is_extra)


def _is_at_line_start(text: bytes, offset: int) -> bool:
    return not text[text.rfind(b"\n", 0, offset) + 1 : offset].strip()
