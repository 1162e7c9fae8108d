"""Baselines on the held-out files: compressors and an n-gram model; and rest-of-line accuracy by expert.

All are given the same training files, and predict each held-out file independently.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cllm.corpus import Corpus, Document
from cllm.evaluation.compressors import COMPRESSORS, is_installed, parse_external
from cllm.evaluation.rest_of_line import draw_cursors, judge_line, mean_of
from cllm.evaluation.scorecard import EXPERTS, ScoredModel
from cllm.spheres import Sphere

NUM_CURSORS = 500
LINE_METHODS = (*EXPERTS, "copied")
Progress = Callable[[float], None]


def evaluate_baselines(
    sphere: Sphere, scored_model: ScoredModel, corpus: Corpus, compressors: Sequence[str], seed: int, progress: Progress
) -> dict[str, Any]:
    """Return bits per byte of each baseline and rest-of-line metrics, with and without near duplicates.

    `progress` is called with the completed share (0 to 1).
    """
    names = [*(name for name in COMPRESSORS if is_installed(name)), *compressors]
    bits = {external_name(name): file_bits(sphere, scored_model, corpus, name, progress) for name in names}
    bits["n-gram"] = file_bits(sphere, scored_model, corpus, None, progress)
    verdicts = line_verdicts(sphere, scored_model, corpus, seed, progress)
    return {
        **baseline_metrics(bits, verdicts, corpus.val),
        "without_near_duplicates": baseline_metrics(bits, verdicts, corpus.val, originals(corpus.val)),
        "not_installed": [name for name in COMPRESSORS if not is_installed(name)],
    }


def external_name(name: str) -> str:
    return name if name in COMPRESSORS else parse_external(name)[0]


def file_bits(
    sphere: Sphere, scored_model: ScoredModel, corpus: Corpus, compressor: str | None, progress: Progress
) -> list[float]:
    """Return the bits of each held-out file by a compressor, or by the n-gram model if `compressor` is None."""
    call = "ngram" if compressor is None else "compress"
    common: dict[str, Any] = {"corpus": str(scored_model.corpus)}
    common |= {"model": str(scored_model.model)} if compressor is None else {"compressor": compressor}

    def tasks() -> Iterator[Mapping[str, Any]]:
        for number in range(len(corpus.val)):
            progress(number / len(corpus.val))
            yield {**common, "document": number}

    return [float(bits) for bits in sphere.map_tasks(call, tasks())]


def line_verdicts(
    sphere: Sphere, scored_model: ScoredModel, corpus: Corpus, seed: int, progress: Progress
) -> list[dict[str, Any]]:
    """Return for each sampled cursor its document number and a verdict on each method's suggestion."""
    cursors = draw_cursors(corpus, corpus.val, NUM_CURSORS, seed)

    def tasks() -> Iterator[Mapping[str, Any]]:
        for number, cursor in enumerate(cursors):
            progress(number / len(cursors))
            yield {**scored_model.arguments, "corpus": str(scored_model.corpus), **asdict(cursor)}

    found = []
    for cursor, suggested in zip(cursors, sphere.map_tasks("suggest_line", tasks()), strict=True):
        expected = corpus.text(corpus.val[cursor.document])[cursor.begin : cursor.end].decode("utf-8", "replace")
        verdicts = {method: judge_line(expected, suggested[method]) for method in LINE_METHODS}
        found.append({"document": cursor.document, "verdicts": verdicts})
    return found


def originals(documents: Sequence[Document]) -> set[int]:
    """Return the indices of the documents that are not near duplicates of training documents."""
    return {number for number, document in enumerate(documents) if document.near_duplicate_of is None}


def baseline_metrics(
    bits: Mapping[str, Sequence[float]],
    verdicts: Sequence[Mapping[str, Any]],
    documents: Sequence[Document],
    subset: set[int] | None = None,
) -> dict[str, Any]:
    """Return the metrics over all documents, or over those with an index in `subset`."""
    numbers = [number for number in range(len(documents)) if subset is None or number in subset]
    size = sum(documents[number].bytes for number in numbers)
    chosen = [verdict["verdicts"] for verdict in verdicts if verdict["document"] in set(numbers)]
    return {
        "bits_per_byte": {
            name: math.fsum(found[number] for number in numbers) / size if size else None
            for name, found in bits.items()
        },
        "rest_of_line": {method: mean_of([verdict[method] for verdict in chosen]) for method in LINE_METHODS},
    }
