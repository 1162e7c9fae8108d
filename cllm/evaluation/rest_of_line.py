"""Rest-of-line accuracy: at a cursor in a held-out file, how the suggested rest of the line compares with the real one.

Cursors are sampled uniformly over the bytes of the held-out files, where the rest of the line is not blank. The text
before the cursor and the text after its line are given. The baseline copies the rest of the line after the longest
matching context in the training files or earlier in the same file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cllm.corpus import Corpus, Document

MAX_LINE_TOKENS = 48  # generated per line
MAX_COPY_CONTEXT_BYTES = 4096  # longest context that the copying baseline matches
WORD = re.compile(r"\w+|\S")


@dataclass(frozen=True, kw_only=True)
class LineCursor:
    """A position in a held-out document: the document's index, and byte offsets of the cursor and its line's end."""

    document: int
    begin: int
    end: int


def draw_cursors(corpus: Corpus, documents: Sequence[Document], count: int, seed: int) -> list[LineCursor]:
    """Sample `count` cursors in the documents with a seed; none if all documents are blank."""
    generator = np.random.default_rng(seed)
    ends = np.cumsum([document.bytes for document in documents])
    texts = [corpus.text(document) for document in documents]
    cursors: list[LineCursor] = []
    if not any(text.strip() for text in texts):
        return cursors
    while len(cursors) < count:
        position = int(generator.integers(ends[-1]))
        number = int(np.searchsorted(ends, position, "right"))
        text = texts[number]
        begin = position - int(ends[number] - documents[number].bytes)
        end = text.find(b"\n", begin)
        end = len(text) if end < 0 else end
        is_inside_character = begin < len(text) and text[begin] & 0xC0 == 0x80
        if text[begin:end].strip() and not is_inside_character:
            cursors.append(LineCursor(document=number, begin=begin, end=end))
    return cursors


def copied_line(train_text: bytes, prefix: bytes) -> str:
    """Return the rest of the line after the longest suffix of `prefix` that occurs in the training text or earlier."""
    history = train_text + prefix[:-1]
    low, high, found = 0, min(len(prefix), MAX_COPY_CONTEXT_BYTES), -1
    while low < high:  # binary search for the longest match: every shorter context matches too
        middle = (low + high + 1) // 2
        position = history.rfind(prefix[len(prefix) - middle :])
        if position < 0:
            high = middle - 1
        else:
            low, found = middle, position + middle
    if found < 0:
        return ""
    full_text = train_text + prefix
    end = full_text.find(b"\n", found)
    return full_text[found : len(full_text) if end < 0 else end].decode("utf-8", "replace")


def judge_line(expected: str, suggested: str) -> dict[str, float]:
    """Compare a suggestion with the rest of a line: exact match, edit similarity (0 to 1), same first word."""
    suggested = suggested.split("\n", 1)[0]
    first, first_suggested = WORD.search(expected), WORD.search(suggested)
    return {
        "exact_match": float(suggested.rstrip() == expected.rstrip()),
        "edit_similarity": edit_similarity(expected.rstrip(), suggested.rstrip()),
        "first_word": float(bool(first and first_suggested and first[0] == first_suggested[0])),
    }


def edit_similarity(one: str, other: str) -> float:
    """Return 1 - Levenshtein distance / length of the longer text; 1 for two empty texts."""
    row = list(range(len(other) + 1))
    for count, char in enumerate(one, 1):
        diagonal, row[0] = row[0], count
        for position, other_char in enumerate(other, 1):
            diagonal, row[position] = (
                row[position],
                min(row[position] + 1, row[position - 1] + 1, diagonal + (char != other_char)),
            )
    return 1 - row[-1] / max(len(one), len(other), 1)


def mean_of(verdicts: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return the means of the verdicts' values, and the number of verdicts as `cursors`."""
    if not verdicts:
        return {"cursors": 0}
    means = {key: sum(verdict[key] for verdict in verdicts) / len(verdicts) for key in verdicts[0]}
    return {"cursors": len(verdicts), **means}
