"""Probes: short texts instead of the cursor's line, or at the cursor, to estimate the fewest errors possible there.

A file with an unfinished line has errors that the rest of the line can remove (a function's head, the end of a call)
or cannot (a macro elsewhere). A language's probes are those that give the fewest errors at gaps in files of one to
three repositories, roughly in the order of how often they do: the file without the line, or with a word at the cursor,
suffices for 59% (C++) to 96% (Python) of the gaps (docs/LOG.md).
"""

from functools import lru_cache
from typing import NamedTuple


class Probe(NamedTuple):
    """A text instead of the cursor's line (`is_line`), or between the texts before and after the cursor."""

    text: bytes
    is_line: bool


COMMENT_OPENER = b"/*"
WITHOUT_LINE = Probe(b"", True)
# Besides nothing, a word and a call.
AT_CURSOR = {
    "C++": ["({"],
    "JSON": ["{", '"'],
    "Rust": ["x {"],
    "TSX": [">", "({", "x,", "x>"],
    "TypeScript": ["x,", "x>"],
}
# Lines with which something begins or ends that continues above or below.
BLOCKS = ["if(x){", "x(", "}", "/*", "*/", "({", ");", "};", "x(){", "});", "x);", "){"]
C = [*BLOCKS, "x={", "x x(", "#endif", "case x:", "enum x {", "if(x&&", "for(x;x;"]
JAVASCRIPT = [
    *BLOCKS,
    "x(function(){",
    "(x)=>{",
    "x(x=>{",
    "`",
    "x:{",
    "x:[",
    "x=[",
    "case x:",
    "})",
    "},",
    "import {",
    "if(x&&",
    "x:",
]
LINES = {
    "C": C,
    "C++": [*C, "class x{", "x){", "x([]{", "namespace x {"],
    "Go": [*BLOCKS, "},", "x{", "x(func(){", "x=`", "`", "case x:", "func x(", "import ("],
    "Java": [*BLOCKS, "class x{", "x(x->{", "@x", '"""', "case x:"],
    "JavaScript": JAVASCRIPT,
    "JSON": ['"x":{', '"x":[', "{", "}", "},", "]", "],", '"x":1', '"x":1,', '"x"', '"x",'],
    "Python": [
        *['"""', "x(", ")", "x", "if x:", "def x(", "def x():", "x=[", "]", "x={", "}", "else:", "try:", "'''", "):"],
        *["for x in x:", "from x import (", '"x"'],
    ],
    "Rust": [
        *BLOCKS,
        "fn x(){",
        "match x{",
        "impl x{",
        "(x)=>{",
        "x(|x|{",
        "pub fn x(",
        ")->x{",
        "let x=match x{",
        "},",
        "use {",
    ],
    "Shell": ["if x; then", "fi", "for x in x; do", "done", "x(){", "}", "{", "case x in", "esac", "x) x;;", '"', "'"],
    "TSX": [*JAVASCRIPT, "<x>", "</x>", "<x", ">", "/>", "export function x(", "class x{", "):x{"],
    "TypeScript": [*JAVASCRIPT, "export function x(", "class x{", "x:(", "):x{"],
}


@lru_cache
def probes_for(language: str) -> tuple[Probe, ...]:
    """The probes of a language in the order in which they are tried."""
    lines = [Probe(text.encode(), True) for text in LINES[language]]
    at_cursor = [Probe(text.encode(), False) for text in ("", "x", "x(", *AT_CURSOR.get(language, ()))]
    return (WITHOUT_LINE, *at_cursor, *lines)
