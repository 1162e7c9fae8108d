"""Fill in the middle (FIM): rows rearranged so that a left-to-right model learns to fill a gap between two texts.

A row's text is cut into prefix, middle and suffix as at a cursor (`gap`), and each part is encoded separately. Half of
the rows become prefix-suffix-middle (PSM), half suffix-prefix-middle (SPM), as in Bavarian et al. 2022,
arXiv:2207.14255, with their context-level cut: the row, not the document, is rearranged. The row keeps its length: if
the encoding is longer, the end of the suffix is cut; if it is shorter, ignored padding follows.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cllm.tokenizer import Tokenizer

MAX_LINES = 5  # of a gap of whole lines
WORD_END = re.compile(rb"[^\w\x80-\xff]|$")
CLOSER = re.compile(rb"[)\]}\"'`]|\n|$")


class Cuts(NamedTuple):
    """A gap from byte `first` to `second` of a text; `inserted` stands between the gap and the rest.

    An opened line has its indentation on both sides: `second` is before `first`.
    """

    first: int
    second: int
    inserted: bytes = b""


def fill_in_the_middle(
    row: npt.NDArray[np.int64], tokenizer: Tokenizer, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Rearrange a row (T + 1,) int64 for FIM.

    The row is returned unchanged if it has no document span of 32 tokens or more, or if the prefix, whose last word
    may be encoded into more tokens than before, leaves no room for the special tokens.
    """
    begin, end = longest_document_span(row, tokenizer.end_of_text)
    body = begin + header_length(row[begin:end], tokenizer)
    if end - body < 32:
        return row
    header = row[begin:body].tolist()
    prefix, middle, suffix = (tokenizer.encode(part) for part in gap(tokenizer.decode(row[body:end]), generator))
    special = tokenizer.special
    num_free_tokens = len(row) - len(header) - 4
    if len(prefix) > num_free_tokens:
        return row
    suffix = suffix[: max(0, num_free_tokens - len(prefix) - len(middle))]
    arrange = arrange_psm if generator.random() < 0.5 else arrange_spm
    ids = [*header, *arrange(prefix, suffix, special), *middle, tokenizer.end_of_text][: len(row)]
    return np.array(ids + [special["<|fim_pad|>"]] * (len(row) - len(ids)), np.int64)


def gap(text: bytes, generator: np.random.Generator) -> tuple[bytes, bytes, bytes]:
    """Cut a text into prefix, middle and suffix, by one of GAPS at a random position."""
    position = int(generator.integers(0, len(text) + 1))
    cuts = GAPS[int(generator.integers(len(GAPS)))](text, position, generator)
    return text[: cuts.first], text[cuts.first : cuts.second], cuts.inserted + text[cuts.second :]


def _anywhere(text: bytes, position: int, generator: np.random.Generator) -> Cuts:
    first, second = sorted((position, int(generator.integers(0, len(text) + 1))))
    return Cuts(first, second)


def _within_line(text: bytes, position: int, generator: np.random.Generator) -> Cuts:
    return Cuts(position, int(generator.integers(position, _line_end(text, position) + 1)))


def _rest_of_word(text: bytes, position: int, generator: np.random.Generator) -> Cuts:
    found = WORD_END.search(text, position)
    end = found.start() if found else len(text)
    return Cuts(position, int(generator.integers(position, end + 1)))


def _before_closer(text: bytes, position: int, _: np.random.Generator) -> Cuts:
    found = CLOSER.search(text, position)
    return Cuts(position, found.start() if found else len(text))


def _lines(text: bytes, position: int, generator: np.random.Generator) -> Cuts:
    first, _ = _indentation(text, position)
    second = _line_end(text, first)
    for _number in range(int(generator.integers(MAX_LINES))):
        second = _line_end(text, min(second + 1, len(text)))
    return Cuts(first, second)


def _nothing(_text: bytes, position: int, _: np.random.Generator) -> Cuts:
    return Cuts(position, position)


def _opened_line(text: bytes, position: int, _: np.random.Generator) -> Cuts:
    first, line_start = _indentation(text, position)
    return Cuts(first, line_start, b"\n")


def _indentation(text: bytes, position: int) -> tuple[int, int]:
    """End and begin of the indentation of the line at a position."""
    begin = text.rfind(b"\n", 0, position) + 1
    line = text[begin : _line_end(text, begin)]
    return begin + len(line) - len(line.lstrip(b" \t")), begin


def _line_end(text: bytes, position: int) -> int:
    end = text.find(b"\n", position)
    return len(text) if end < 0 else end


# Each with the same probability.
GAPS: tuple[Callable[[bytes, int, np.random.Generator], Cuts], ...] = (
    *(_anywhere, _within_line, _rest_of_word, _before_closer, _lines, _lines, _nothing, _opened_line),
)


def longest_document_span(row: npt.NDArray[np.int64], end_of_text: int) -> tuple[int, int]:
    """Begin and end of the longest span of one document in a row (T + 1,)."""
    ends = np.concatenate([[-1], np.flatnonzero(row == end_of_text), [len(row)]])
    longest = int(np.argmax(np.diff(ends)))
    return int(ends[longest]) + 1, int(ends[longest + 1])


def header_length(document_ids: npt.NDArray[np.int64], tokenizer: Tokenizer) -> int:
    """Number of tokens of the line with the document's path at the start of ids (N,); 0 if there is none."""
    if document_ids[0] != tokenizer.special["<|file_sep|>"]:
        return 0
    line_ends = (index for index, token in enumerate(document_ids) if b"\n" in tokenizer.token_bytes(int(token)))
    return next(line_ends, len(document_ids) - 1) + 1


def arrange_psm(prefix: list[int], suffix: list[int], special: dict[str, int]) -> list[int]:
    """Ids of a prompt in the order prefix, suffix (PSM); the middle follows."""
    return [
        special["<|fim_prefix|>"],
        *prefix,
        special["<|fim_suffix|>"],
        *suffix,
        special["<|fim_middle|>"],
    ]


def arrange_spm(prefix: list[int], suffix: list[int], special: dict[str, int]) -> list[int]:
    """Ids of a prompt in the order suffix, prefix (SPM); the middle follows the prefix directly."""
    return [
        special["<|fim_prefix|>"],
        special["<|fim_suffix|>"],
        *suffix,
        special["<|fim_middle|>"],
        *prefix,
    ]
