"""Closings: bytes that complete a text without errors, which prove that it is the beginning of a valid text.

An unfinished text always has errors. So a closing is searched: for each open bracket, from the innermost, one of a few
fillers and the closing bracket, then a filler at the end. If the closed text parses, the text can be continued; if
no closing is found, nothing is proven. A search takes 1 to 50 ms per text.
"""

from collections.abc import Iterator

from tree_sitter import Node

from cllm.syntax.error_count import count_errors_in
from cllm.syntax.grammars import parse
from cllm.syntax.open_brackets import CLOSING_BRACKETS, leaves_of
from cllm.syntax.prefix_parser import MULTILINE_DELIMITERS, PrefixParser, is_inside_delimiters
from cllm.syntax.time_budget import TimeBudget

OPENERS = {"(", "[", "{", "${"}
FILLERS = (b"", *b"; x x; {} x{} (){} x(){} 0 :x =x; 'x' =>x {}; finally{}".split(), b"\n", b" while(x);")
LANGUAGE_FILLERS = {
    "C++": (b">;",),
    "Go": (b"x int", b"func x(){}"),
    "Java": (b"class x{}", b"int x;", b"finally{}", b">;"),
    "Rust": (b"_=>x", b"fn x(){}", b">;"),
    "TSX": (b">;",),
    "TypeScript": (b">;",),
}
MAX_OPEN_BRACKETS = 64  # innermost open brackets that are closed


def find_closing(language: str, text: bytes, max_errors: int = 0) -> bytes | None:
    """Return bytes after which `text` has at most `max_errors` errors; None if none were found.

    `text` must have no certain error.
    """
    return next((closer for closer, errors in _closings(language, text) if errors <= max_errors), None)


def min_errors(language: str, text: bytes, stop_at: int = 0, budget: TimeBudget | None = None) -> int | None:
    """Return the fewest errors of `text` with any closing; None if no closing was found, within `budget`.

    The search stops at the first closing with at most `stop_at` errors.
    """
    fewest: int | None = None
    for _, errors in _closings(language, text, budget):
        fewest = errors if fewest is None else min(fewest, errors)
        if fewest <= stop_at:
            break
    return fewest


def _closings(language: str, text: bytes, budget: TimeBudget | None = None) -> Iterator[tuple[bytes, int]]:
    """Yield closings of a text, each with the number of errors of the closed text."""
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
    ):  # a newline ends a line comment, a word ends a continued line
        prefix_parser = PrefixParser(language, text + separator, budget)
        words = (*fillers(language), *(blocks(text) if language == "Python" else ()))
        brackets = prefix_parser.open_brackets[-MAX_OPEN_BRACKETS:]
        closed = bracket_closers(prefix_parser, brackets, words, budget)
        for filler in words if closed is not None else ():
            tree = parse(language, text + separator + (closed or b"") + filler + b"\n", budget)
            if tree is not None:
                yield separator + (closed or b"") + filler, count_errors_in(tree)


def fillers(language: str) -> tuple[bytes, ...]:
    """Return the fillers to try before a closing bracket or the end of a text."""
    return (*FILLERS, *LANGUAGE_FILLERS.get(language, ()))


def bracket_closers(
    prefix_parser: PrefixParser, brackets: list[str], words: tuple[bytes, ...], budget: TimeBudget | None = None
) -> bytes | None:
    """Return bytes that close the brackets, each with the first of `words` that fits before it; None if none fits.

    None also if `budget` is spent.
    """
    closers = b""
    for bracket in reversed(brackets):
        for filler in words:
            if budget is not None and budget.is_spent:
                return None
            if prefix_parser.error_offset(closers + filler + CLOSING_BRACKETS[bracket] + b" ") is None:
                closers += filler + CLOSING_BRACKETS[bracket]
                break
        else:
            return None
    return closers


def blocks(text: bytes) -> tuple[bytes, ...]:
    """Return continuations of a last line of Python that opens a block or is a decorator."""
    last = text.rstrip().rpartition(b"\n")[2]
    indent = last[: len(last) - len(last.lstrip())]
    # A header that spans several lines may end at a deeper indentation than it began.
    starts = [indent[:depth] for depth in range(len(indent), -1, -1) if depth % 4 == 0 or depth == len(indent)]
    bodies = [b"\n" + indent + b"        pass", *(b"\n" + start + b"def x(): pass" for start in starts)]
    return (*bodies, b": pass", b"\n" + indent + b"except: pass")


def nesting_levels(language: str, text: bytes, begin: int) -> tuple[int, list[tuple[Node, int]]]:
    """Return the nesting level of `([{` at byte `begin`, and the leaves from there on with the level after each."""
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
    """Yield the leaves of a text's tree; none if parsing timed out."""
    tree = parse(language, text)
    if tree is not None:
        yield from leaves_of(tree)
