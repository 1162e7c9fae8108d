"""What ends a text well: the proof that a beginning is the beginning of a right text.

A text that stops in the middle holds errors whatever it says. So something is looked for that closes what is open: for
each open bracket, from the innermost, a few words that may stand before its partner, and a few at the end. If the text
then parses, it could be gone on with; if nothing is found, nothing is proven. 1 to 50 ms a text.
"""

from collections.abc import Iterator

from tree_sitter import Node

from cllm.syntax.error_count import count_errors_in
from cllm.syntax.grammars import parse
from cllm.syntax.prefix_parser import MULTILINE_DELIMITERS, PrefixParser, is_inside_delimiters

CLOSING_BRACKETS = {"(": b")", "[": b"]", "{": b"}", "${": b"}", "#if": b"\n#endif\n", "#ifdef": b"\n#endif\n"}
CLOSING_BRACKETS |= {"#ifndef": b"\n#endif\n", "#[": b"]", "<": b">"}
OPENERS = {"(", "[", "{", "${"}
CLOSERS = {")", "]", "}", "#endif", ">"}
FILLERS = (b"", *b"; x x; {} x{} (){} x(){} 0 :x =x; 'x' =>x {}; finally{}".split(), b"\n", b" while(x);")
LANGUAGE_FILLERS = {
    "C++": (b">;",),
    "Go": (b"x int", b"func x(){}"),
    "Java": (b"class x{}", b"int x;", b"finally{}", b">;"),
    "Rust": (b"_=>x", b"fn x(){}", b">;"),
    "TSX": (b">;",),
    "TypeScript": (b">;",),
}
MAX_OPEN_BRACKETS = 64  # brackets


def find_closing(language: str, text: bytes, max_errors: int = 0) -> bytes | None:
    """Bytes with which `text`, which must hold no fault, ends with at most so many errors; None if none were found."""
    return next((closer for closer, errors in _closings(language, text) if errors <= max_errors), None)


def min_errors(language: str, text: bytes, stop_at: int = 0) -> int | None:
    """The fewest errors with which `text` was found to end; None if nothing was found that closes it.

    No more is looked for where there are few `stop_at`.
    """
    fewest: int | None = None
    for _, errors in _closings(language, text):
        fewest = errors if fewest is None else min(fewest, errors)
        if fewest <= stop_at:
            break
    return fewest


def _closings(language: str, text: bytes) -> Iterator[tuple[bytes, int]]:
    """Ways to close a text, each with the errors that it then has."""
    multiline_closers = [
        closer
        for opener, closer in MULTILINE_DELIMITERS.get(language, ())
        if is_inside_delimiters(text, opener, closer)
    ]
    for separator in (
        *multiline_closers,
        b"\n",
        b"",
        b"\nx\n",
    ):  # a line's end ends a comment, a word a line that goes on
        prefix_parser = PrefixParser(language, text + separator)
        words = (*fillers(language), *(blocks(text) if language == "Python" else ()))
        closed = bracket_closers(prefix_parser, open_brackets(language, text + separator)[-MAX_OPEN_BRACKETS:], words)
        for filler in words if closed is not None else ():
            tree = parse(language, text + separator + (closed or b"") + filler + b"\n")
            if tree is not None:
                yield separator + (closed or b"") + filler, count_errors_in(tree)


def fillers(language: str) -> tuple[bytes, ...]:
    """Words that may stand before a bracket that closes, or the text's end."""
    return (*FILLERS, *LANGUAGE_FILLERS.get(language, ()))


def bracket_closers(prefix_parser: PrefixParser, brackets: list[str], words: tuple[bytes, ...]) -> bytes | None:
    """What closes the brackets, with what must stand in them before; or None."""
    closers = b""
    for bracket in reversed(brackets):
        for filler in words:
            if prefix_parser.error_offset(closers + filler + CLOSING_BRACKETS[bracket] + b" ") is None:
                closers += filler + CLOSING_BRACKETS[bracket]
                break
        else:
            return None
    return closers


def blocks(text: bytes) -> tuple[bytes, ...]:
    """What may follow a last line of Python that opens a block, or asks for something to decorate."""
    last = text.rstrip().rpartition(b"\n")[2]
    indent = last[: len(last) - len(last.lstrip())]
    # A header that goes on over lines may end deeper than it began.
    starts = [indent[:depth] for depth in range(len(indent), -1, -1) if depth % 4 == 0 or depth == len(indent)]
    bodies = [b"\n" + indent + b"        pass", *(b"\n" + start + b"def x(): pass" for start in starts)]
    return (*bodies, b": pass", b"\n" + indent + b"except: pass")


def open_brackets(language: str, text: bytes) -> list[str]:
    """The brackets that are not closed, from the first to the last; conditional sections of C count as brackets."""
    found: list[str] = []
    for leaf in leaves(language, text):
        _track_bracket(leaf, found)
    return found


def nesting_levels(language: str, text: bytes, begin: int) -> tuple[int, list[tuple[Node, int]]]:
    """How many of `([{` are open at a byte, and the words from there on, each with how many are open behind it."""
    level, after = 0, list[tuple[Node, int]]()
    outside: int | None = None
    for leaf in leaves(language, text):
        if outside is None and leaf.start_byte >= begin:
            outside = level
        level += (leaf.type in OPENERS) - (leaf.type in (")", "]", "}"))
        if outside is not None:
            after.append((leaf, level))
    return level if outside is None else outside, after


def leaves(language: str, text: bytes) -> Iterator[Node]:
    """The words of a text, as far as the parser saw them."""
    tree = parse(language, text)
    if tree is None:
        return
    cursor = tree.walk()
    while True:
        node = cursor.node
        assert node is not None
        if node.child_count == 0 and not node.is_missing:
            yield node
        if cursor.goto_first_child():
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
    """Whether a `<` opens a list of types, and does not compare."""
    return node.parent is not None and node.parent.type.startswith(("type_", "template_"))
