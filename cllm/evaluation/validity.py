"""Validity of completions: whether a completion adds syntax errors to its file. Checked independently of the guide.

Cursors are sampled in held-out files (`rest_of_line`); at every other cursor the text after the line is given. A
completion is valid if it is not blank and the file has no more errors than the original. If the text after the line is
not given, the completion is also valid if a closing exists (`cllm.syntax.closing`); a text for which none is found
counts as invalid.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cllm.corpus import Corpus, Document
from cllm.evaluation.rest_of_line import LineCursor, draw_cursors
from cllm.syntax.closing import find_closing
from cllm.syntax.error_count import count_errors, count_errors_in
from cllm.syntax.file_language import language_of_file
from cllm.syntax.grammars import language_with_grammar, parse

GUIDED = {"valid": True, "valid_without_guide": False}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A cursor in a held-out document, and whether the text after its line is given."""

    cursor: LineCursor
    is_middle: bool


def draw_trials(corpus: Corpus, count: int, seed: int) -> list[Trial]:
    """Sample `count` trials in the held-out documents whose language has a grammar; none if there are none."""
    documents = [document for document in corpus.val if language_with_grammar(document.path) is not None]
    numbers = {document.path: number for number, document in enumerate(corpus.val)}
    found = []
    for index, cursor in enumerate(draw_cursors(corpus, documents, count, seed)):
        number = numbers[documents[cursor.document].path]
        val_cursor = LineCursor(document=number, begin=cursor.begin, end=cursor.end)
        found.append(Trial(cursor=val_cursor, is_middle=index % 2 == 0))
    return found


def is_valid_completion(document: Document, text: bytes, trial: Trial, generated: bytes) -> bool:
    """Return whether `generated` at the trial's cursor adds no errors to the document, or can be closed without."""
    language, begin, end = language_of_file(document.path, text), trial.cursor.begin, trial.cursor.end
    assert language is not None, "trials are drawn in documents with a grammar"
    if not generated.strip():
        return False
    before = text[:begin] + generated
    if count_errors(language, before + text[end:]) <= count_errors(language, text):
        return True
    tree = parse(language, text)
    max_errors = count_errors_in(tree, end) if tree is not None else 0
    return not trial.is_middle and find_closing(language, before, max_errors) is not None


def summary_of(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return fractions, medians and mean seconds over the results of `worker.complete_with_and_without_guide`."""
    guided, unguided = ([result[name] for result in results] for name in GUIDED)
    shown = [each for each in guided if each["text"].strip()]
    return {
        "completions": len(results),
        "valid": _mean_of(guided, "valid"),
        "silent": 1 - len(shown) / len(guided),
        "valid_of_shown": _mean_of(shown, "valid") if shown else None,
        "valid_without_guide": _mean_of(unguided, "valid"),
        "median_tokens": statistics.median(each["tokens"] for each in guided),
        "median_tokens_without_guide": statistics.median(each["tokens"] for each in unguided),
        "exact_match": _mean_of(guided, "exact"),
        "exact_match_without_guide": _mean_of(unguided, "exact"),
        "stopped_early": _mean_of(guided, "stopped_early"),
        "seconds": statistics.fmean(each["seconds"] for each in guided),
        "seconds_without_guide": statistics.fmean(each["seconds"] for each in unguided),
    }


def _mean_of(results: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.fmean(result[name] for result in results)
