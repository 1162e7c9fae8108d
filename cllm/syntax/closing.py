"""What ends a text well: the proof that a beginning is the beginning of a right text.

A text that stops in the middle holds errors whatever it says. So something is looked for that closes what is open: for
each open bracket, from the innermost, a few words that may stand before its partner, and a few at the end. If the text
then parses, it could be gone on with; if nothing is found, nothing is proven. 1 to 50 ms a text.
"""

from collections.abc import Iterator

from tree_sitter import Node

from cllm.syntax.errors import errors_in
from cllm.syntax.grammars import parse
from cllm.syntax.growing import UNENDED, GrowingText, ends_inside

PARTNER = {"(": b")", "[": b"]", "{": b"}", "${": b"}", "#if": b"\n#endif\n", "#ifdef": b"\n#endif\n"}
PARTNER |= {"#ifndef": b"\n#endif\n", "#[": b"]", "<": b">"}
OPENERS = {"(", "[", "{", "${"}
CLOSERS = {")", "]", "}", "#endif", ">"}
WORDS = (b"", *b"; x x; {} x{} (){} x(){} 0 :x =x; 'x' =>x {}; finally{}".split(), b"\n", b" while(x);")
OF_LANGUAGE = {
    "C++": (b">;",),
    "Go": (b"x int", b"func x(){}"),
    "Java": (b"class x{}", b"int x;", b"finally{}", b">;"),
    "Rust": (b"_=>x", b"fn x(){}", b">;"),
    "TSX": (b">;",),
    "TypeScript": (b">;",),
}
MOST_OPEN = 64  # brackets


def closing(language: str, text: bytes, most_errors: int = 0) -> bytes | None:
    """Bytes with which `text`, which must hold no fault, ends with at most so many errors; None if none were found."""
    return next((closer for closer, errors in _closings(language, text) if errors <= most_errors), None)


def fewest_errors(language: str, text: bytes, enough: int = 0) -> int | None:
    """The fewest errors with which `text` was found to end; None if nothing was found that closes it.

    No more is looked for where there are few `enough`.
    """
    fewest: int | None = None
    for _, errors in _closings(language, text):
        fewest = errors if fewest is None else min(fewest, errors)
        if fewest <= enough:
            break
    return fewest


def _closings(language: str, text: bytes) -> Iterator[tuple[bytes, int]]:
    """Ways to close a text, each with the errors that it then has."""
    unended = [closer for opener, closer in UNENDED.get(language, ()) if ends_inside(text, opener, closer)]
    for ended in (*unended, b"\n", b"", b"\nx\n"):  # a line's end ends a comment, a word a line that goes on
        growing = GrowingText(language, text + ended)
        words = (*fillers(language), *(blocks(text) if language == "Python" else ()))
        closed = brackets_closed(growing, open_brackets(language, text + ended)[-MOST_OPEN:], words)
        for some in words if closed is not None else ():
            tree = parse(language, text + ended + (closed or b"") + some + b"\n")
            if tree is not None:
                yield ended + (closed or b"") + some, errors_in(tree)


def fillers(language: str) -> tuple[bytes, ...]:
    """Words that may stand before a bracket that closes, or the text's end."""
    return (*WORDS, *OF_LANGUAGE.get(language, ()))


def brackets_closed(growing: GrowingText, brackets: list[str], words: tuple[bytes, ...]) -> bytes | None:
    """What closes the brackets, with what must stand in them before; or None."""
    written = b""
    for bracket in reversed(brackets):
        for some in words:
            if growing.fault(written + some + PARTNER[bracket] + b" ") is None:
                written += some + PARTNER[bracket]
                break
        else:
            return None
    return written


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
        _count(leaf, found)
    return found


def levels(language: str, text: bytes, begin: int) -> tuple[int, list[tuple[Node, int]]]:
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


def _count(node: Node, found: list[str]) -> None:
    if node.type in PARTNER and (node.type != "<" or _is_list(node)):
        found.append(node.type)
    elif node.type in CLOSERS and found and PARTNER[found[-1]].strip() == node.type.encode():
        found.pop()


def _is_list(node: Node) -> bool:
    """Whether a `<` opens a list of types, and does not compare."""
    return node.parent is not None and node.parent.type.startswith(("type_", "template_"))
