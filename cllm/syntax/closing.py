"""What ends a text well: the proof that a beginning is the beginning of a right text.

A text that stops in the middle holds errors whatever it says. So something is looked for that closes what is open: for
each open bracket, from the innermost, a few words that may stand before its partner, and a few at the end. If the text then
parses, it could be gone on with; if nothing is found, nothing is proven. 1 to 50 ms a text.
"""

from itertools import product

from tree_sitter import Node

from cllm.syntax.errors import errors_in
from cllm.syntax.grammars import parse
from cllm.syntax.growing import UNENDED, GrowingText, ends_inside

PARTNER = {"(": b")", "[": b"]", "{": b"}", "${": b"}", "#if": b"\n#endif\n", "#ifdef": b"\n#endif\n"}
PARTNER |= {"#ifndef": b"\n#endif\n", "#[": b"]", "<": b">"}
CLOSERS = {")", "]", "}", "#endif", ">"}
WORDS = (b"", b";", b"x", b"x;", b"{}", b"x{}", b"(){}", b"x(){}", b"0", b":x", b"=x;", b"\n", b"'x'", b" while(x);")
OF_LANGUAGE = {"Rust": (b"_=>x", b"fn x(){}"), "Java": (b"class x{}", b"int x;"), "Go": (b"x int", b"func x(){}")}
MOST_OPEN = 64  # brackets


def closing(language: str, text: bytes, most_errors: int = 0) -> bytes | None:
    """Bytes with which `text`, which must hold no fault, ends with at most so many errors; None if none were found."""
    unended = [closer for opener, closer in UNENDED.get(language, ()) if ends_inside(text, opener, closer)]
    for ended in (*unended, b"\n", b""):  # a line's end ends a comment, too
        found = _closing(language, text + ended, most_errors)
        if found is not None:
            return ended + found
    return None


def _closing(language: str, text: bytes, most_errors: int) -> bytes | None:
    growing = GrowingText(language, text)
    words = (*WORDS, *OF_LANGUAGE.get(language, ()), *(blocks(text) if language == "Python" else ()))
    written = b""
    for bracket in reversed(open_brackets(language, text)[-MOST_OPEN:]):
        for some in _phrases(words):
            if growing.fault(written + some + PARTNER[bracket] + b" ") is None:
                written += some + PARTNER[bracket]
                break
        else:
            return None
    for some in _phrases(words):
        tree = parse(language, text + written + some + b"\n")
        if tree is not None and errors_in(tree) <= most_errors:
            return written + some
    return None


def _phrases(words: tuple[bytes, ...]) -> list[bytes]:
    """The words, then two of them."""
    return [*words, *(one + b" " + other for one, other in product(words[1:], words[1:]))]


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
    tree = parse(language, text)
    if tree is None:
        return []
    found: list[str] = []
    cursor = tree.walk()
    while True:
        node = cursor.node
        assert node is not None
        if node.child_count == 0 and not node.is_missing:
            _count(node, found)
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found


def _count(node: Node, found: list[str]) -> None:
    if node.type in PARTNER and (node.type != "<" or _is_list(node)):
        found.append(node.type)
    elif node.type in CLOSERS and found and PARTNER[found[-1]].strip() == node.type.encode():
        found.pop()


def _is_list(node: Node) -> bool:
    """Whether a `<` opens a list of types, and does not compare."""
    return node.parent is not None and node.parent.type.startswith(("type_", "template_"))
