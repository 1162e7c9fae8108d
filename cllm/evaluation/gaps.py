"""Gaps: cursors in files as people have them, of eight kinds, most of them with text to the right.

`end_of_line`     the rest of a line is missing, the next line follows
`before_closing`  text is missing before a bracket, quote or comment end that stays on the line
`inside_name`     the middle of a name is missing
`line`            a whole line is missing; its indentation is left
`lines`           two to five lines are missing; the indentation of the first is left
`nothing_missing` a line was opened between two lines of the file, with the indentation of the second
`file_start`      the first line is missing
`file_end`        the last line is missing; its indentation is left

Positions are sampled uniformly over the bytes of the files; `file_start` and `file_end` have one each.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cllm.corpus.characters import is_continuation
from cllm.syntax.delimiters import DELIMITER, scan_delimiters, track_delimiter
from cllm.syntax.words import indent_length

MAX_LINES = 5  # missing lines of the kind `lines`
MIN_NAME_BYTES = 4
MAX_TRIES = 200  # sampled positions per wanted gap
NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Bytes `begin` to `end` of a document that are missing; `inserted` stands between the cursor and the rest.

    `nothing_missing` has its `end` before its `begin`: the indentation stands on both lines.
    """

    kind: str
    document: int
    begin: int
    end: int
    inserted: bytes = b""

    def split(self, text: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the document's text before the cursor, the missing text, and the text after the cursor."""
        return text[: self.begin], text[self.begin : self.end], self.inserted + text[self.end :]


Span = tuple[int, int]
FindSpan = Callable[[bytes, int, np.random.Generator], Span | None]


def draw_gaps(texts: Sequence[bytes], count: int, seed: int, kinds: Collection[str] = ()) -> Iterator[Gap]:
    """Yield up to `count` gaps of each of `kinds`, by default all, in texts; fewer if these have not as many."""
    for number, (kind, find_span) in enumerate(SPANS.items()):
        if not kinds or kind in kinds:
            generator = np.random.default_rng([seed, number])
            for document, span in _sampled_spans(texts, find_span, count, generator):
                inserted = b"\n" if kind == "nothing_missing" else b""
                yield Gap(kind=kind, document=document, begin=span[0], end=span[1], inserted=inserted)
    for kind, find_line in WHOLE_FILE_SPANS.items():
        if not kinds or kind in kinds:
            spans = [(document, find_line(text)) for document, text in enumerate(texts) if text.strip()]
            for index in np.random.default_rng([seed, len(SPANS)]).permutation(len(spans))[:count].tolist():
                document, (begin, end) = spans[index]
                yield Gap(kind=kind, document=document, begin=begin, end=end)


def _sampled_spans(
    texts: Sequence[bytes], find: FindSpan, count: int, generator: np.random.Generator
) -> Iterator[tuple[int, Span]]:
    """Yield (document, span) of distinct spans at sampled positions."""
    ends = np.cumsum([len(text) for text in texts])
    seen = set[tuple[int, Span]]()
    for _ in range(MAX_TRIES * count if len(ends) and ends[-1] else 0):
        position = int(generator.integers(ends[-1]))
        document = int(np.searchsorted(ends, position, "right"))
        text = texts[document]
        span = find(text, position - int(ends[document] - len(text)), generator)
        if span is not None and (document, span) not in seen and is_between_characters(text, *span):
            seen.add((document, span))
            yield document, span
            if len(seen) == count:
                return


def is_between_characters(text: bytes, *offsets: int) -> bool:
    """Whether none of the offsets is inside a UTF-8 character."""
    return not any(is_continuation(text[offset]) for offset in offsets if offset < len(text))


def _rest_of_line(text: bytes, position: int, _: np.random.Generator) -> Span | None:
    end = line_at(text, position)[1]
    return (position, end) if text[position:end].strip() else None


def _before_closing(text: bytes, position: int, _: np.random.Generator) -> Span | None:
    begin, end = line_at(text, position)
    open_delimiters = scan_delimiters(text[begin:position])
    depth = len(open_delimiters)
    for found in DELIMITER.finditer(text, position, end) if depth else ():
        track_delimiter(found[0], open_delimiters)
        if len(open_delimiters) < depth:
            return (position, found.start()) if text[position : found.start()].strip() else None
    return None


def _inside_name(text: bytes, position: int, generator: np.random.Generator) -> Span | None:
    line_start, line_end = line_at(text, position)
    for found in NAME.finditer(text, line_start, line_end):
        if found.start() <= position < found.end() and len(found[0]) >= MIN_NAME_BYTES:
            first, second = sorted(generator.choice(np.arange(1, len(found[0])), 2, replace=False).tolist())
            return found.start() + first, found.start() + second
    return None


def _whole_line(text: bytes, position: int, _: np.random.Generator) -> Span | None:
    begin, end = line_at(text, position)
    content = text[begin:end]
    return (begin + indent_length(content), end) if content.strip() else None


def _whole_lines(text: bytes, position: int, generator: np.random.Generator) -> Span | None:
    first = _whole_line(text, position, generator)
    if first is None:
        return None
    end = first[1]
    for _ in range(int(generator.integers(1, MAX_LINES))):
        if end == len(text):
            return None
        last, end = line_at(text, end + 1)
    return (first[0], end) if text[last:end].strip() else None


def _opened_line(text: bytes, position: int, _: np.random.Generator) -> Span | None:
    begin, end = line_at(text, position)
    above = text[:begin].removesuffix(b"\n").rpartition(b"\n")[2]
    return (begin + indent_length(text[begin:end]), begin) if text[begin:end].strip() and above.strip() else None


def _first_line(text: bytes) -> Span:
    begin = indent_length(text[: len(text) - len(text.lstrip())])
    return 0, line_at(text, begin + len(text[begin:]) - len(text[begin:].lstrip()))[1]


def _last_line(text: bytes) -> Span:
    end = len(text.rstrip())
    begin = text.rfind(b"\n", 0, end) + 1
    return begin + indent_length(text[begin:end]), end


def line_at(text: bytes, position: int) -> Span:
    """Begin and end of the line that contains a position, without its newline."""
    end = text.find(b"\n", position)
    return text.rfind(b"\n", 0, position) + 1, len(text) if end < 0 else end


SPANS: dict[str, FindSpan] = {
    "end_of_line": _rest_of_line,
    "before_closing": _before_closing,
    "inside_name": _inside_name,
    "line": _whole_line,
    "lines": _whole_lines,
    "nothing_missing": _opened_line,
}
WHOLE_FILE_SPANS: dict[str, Callable[[bytes], Span]] = {"file_start": _first_line, "file_end": _last_line}
KINDS = (*SPANS, *WHOLE_FILE_SPANS)
