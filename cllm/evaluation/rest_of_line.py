"""What an editor's user would notice: at a cursor in a held-out file, is the rest of the line what is suggested?

Cursors are drawn from the held-out files, each byte as likely as another, where at least one sign of the line is left.
Everything before the cursor is known, and everything after the line. The baseline copies the rest of the line that
follows the longest context that was seen before: in a learned file, or earlier in this one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cllm.corpus import Corpus, Document

MAX_LINE_TOKENS = 48  # are written at most
MAX_COPY_CONTEXT_BYTES = 4096  # bytes of context that are looked for
WORD = re.compile(r"\w+|\S")


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """A place in a held-out document, by its number, and where its line ends; byte offsets."""

    document: int
    begin: int
    end: int


def draw_cursors(corpus: Corpus, documents: Sequence[Document], count: int, seed: int) -> list[Cursor]:
    """So many places in some documents, drawn with a seed; none where the documents have no signs at all."""
    generator = np.random.default_rng(seed)
    ends = np.cumsum([document.bytes for document in documents])
    texts = [corpus.text(document) for document in documents]
    cursors: list[Cursor] = []
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
            cursors.append(Cursor(document=number, begin=begin, end=end))
    return cursors


def copied_line(train_text: bytes, prefix: bytes) -> str:
    """The rest of the line after the longest end of `prefix` that stands in the learned text or earlier in `prefix`."""
    history = train_text + prefix[:-1]
    low, high, found = 0, min(len(prefix), MAX_COPY_CONTEXT_BYTES), -1
    while low < high:  # the longest length that is found: shorter ones are too
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
    """How a suggestion compares with the rest of a line: exact, similar (0 to 1), right in its first word."""
    suggested = suggested.split("\n", 1)[0]
    first, first_suggested = WORD.search(expected), WORD.search(suggested)
    return {
        "exact_match": float(suggested.rstrip() == expected.rstrip()),
        "edit_similarity": edit_similarity(expected.rstrip(), suggested.rstrip()),
        "first_word": float(bool(first and first_suggested and first[0] == first_suggested[0])),
    }


def edit_similarity(one: str, other: str) -> float:
    """1 - Levenshtein distance / length of the longer; 1 for two empty texts."""
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
    """The means of some verdicts, and how many they are."""
    if not verdicts:
        return {"cursors": 0}
    means = {key: sum(verdict[key] for verdict in verdicts) / len(verdicts) for key in verdicts[0]}
    return {"cursors": len(verdicts), **means}
