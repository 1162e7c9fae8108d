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

LINE_TOKENS = 48  # are written at most
LONGEST_COPIED = 4096  # bytes of context that are looked for
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
        place = int(generator.integers(ends[-1]))
        number = int(np.searchsorted(ends, place, "right"))
        text = texts[number]
        begin = place - int(ends[number] - documents[number].bytes)
        end = text.find(b"\n", begin)
        end = len(text) if end < 0 else end
        inside_character = begin < len(text) and text[begin] & 0xC0 == 0x80
        if text[begin:end].strip() and not inside_character:
            cursors.append(Cursor(document=number, begin=begin, end=end))
    return cursors


def copied_line(learned: bytes, prefix: bytes) -> str:
    """The rest of the line after the longest end of `prefix` that stands in the learned text or earlier in `prefix`."""
    seen = learned + prefix[:-1]
    low, high, found = 0, min(len(prefix), LONGEST_COPIED), -1
    while low < high:  # the longest length that is found: shorter ones are too
        middle = (low + high + 1) // 2
        place = seen.rfind(prefix[len(prefix) - middle :])
        if place < 0:
            high = middle - 1
        else:
            low, found = middle, place + middle
    if found < 0:
        return ""
    known = learned + prefix
    end = known.find(b"\n", found)
    return known[found : len(known) if end < 0 else end].decode("utf-8", "replace")


def judge_line(expected: str, suggested: str) -> dict[str, float]:
    """How a suggestion compares with the rest of a line: exact, similar (0 to 1), right in its first word."""
    suggested = suggested.split("\n", 1)[0]
    first, first_suggested = WORD.search(expected), WORD.search(suggested)
    return {
        "exact_match": float(suggested.rstrip() == expected.rstrip()),
        "edit_similarity": similarity(expected.rstrip(), suggested.rstrip()),
        "first_word": float(bool(first and first_suggested and first[0] == first_suggested[0])),
    }


def similarity(one: str, other: str) -> float:
    """1 - Levenshtein distance / length of the longer; 1 for two empty texts."""
    row = list(range(len(other) + 1))
    for count, sign in enumerate(one, 1):
        diagonal, row[0] = row[0], count
        for place, other_sign in enumerate(other, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (sign != other_sign))
    return 1 - row[-1] / max(len(one), len(other), 1)


def mean_of(verdicts: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The means of some verdicts, and how many they are."""
    if not verdicts:
        return {"cursors": 0}
    means = {key: sum(verdict[key] for verdict in verdicts) / len(verdicts) for key in verdicts[0]}
    return {"cursors": len(verdicts), **means}
