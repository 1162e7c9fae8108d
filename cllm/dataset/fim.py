"""Fill in the middle (FIM): rows rearranged so that a left-to-right model learns to fill a gap between two texts.

A row's text is cut at two random bytes into prefix, middle and suffix, as at a cursor (cuts fall inside words too),
and each part is encoded separately. Half of the rows become prefix-suffix-middle (PSM), half suffix-prefix-middle
(SPM), as in Bavarian et al. 2022, arXiv:2207.14255, with their context-level cut: the row, not the document, is
rearranged. The row keeps its length: if the encoding is longer, the end of the suffix is cut; if it is shorter, ignored
padding follows.
"""

import numpy as np
import numpy.typing as npt

from cllm.tokenizer import Tokenizer


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
    text = tokenizer.decode(row[body:end])
    first, second = sorted(int(cut) for cut in generator.integers(0, len(text) + 1, 2))
    prefix, middle, suffix = (tokenizer.encode(part) for part in (text[:first], text[first:second], text[second:]))
    special = tokenizer.special
    num_free_tokens = len(row) - len(header) - 4
    if len(prefix) > num_free_tokens:
        return row
    suffix = suffix[: max(0, num_free_tokens - len(prefix) - len(middle))]
    arrange = arrange_psm if generator.random() < 0.5 else arrange_spm
    ids = [*header, *arrange(prefix, suffix, special), *middle, tokenizer.end_of_text][: len(row)]
    return np.array(ids + [special["<|fim_pad|>"]] * (len(row) - len(ids)), np.int64)


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
