"""`cllm bench cursors`: what is suggested at cursors as people have them, and whether it does harm.

Every gap (`evaluation.gaps`) is filled twice: in the file as it is learned, and in the same file with CR LF line ends.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cllm.bench.shared.config import machine_report
from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.evaluation.gaps import KINDS, Gap, draw_gaps
from cllm.evaluation.scorecard import launch_evaluation_workers
from cllm.machine import detect_machine
from cllm.progress import Reporter
from cllm.stages.trained_model import open_scored_model
from cllm.stages.workers import start_fork_server
from cllm.workspace.run import current_run_of

MAX_GAPS = 10_000  # of each kind


def bench_cursors(root: Path, count: int, seed: int, report: Reporter) -> dict[str, Any]:
    """Return the metrics of each kind of gap by line end, and all suggestions that do harm.

    `count`: gaps of each kind. Raises UsageError if it is out of range or no file is held out.
    """
    if not 1 <= count <= MAX_GAPS:
        raise UsageError(f"-n {count} is not between 1 and {MAX_GAPS:,}")
    scored_model, machine = open_scored_model(current_run_of(root)), detect_machine()
    corpus = Corpus.open(scored_model.corpus)
    gaps = list(draw_gaps([corpus.text(document) for document in corpus.val], count, seed))
    if not gaps:
        raise UsageError(f"{root} has no held-out files to complete in")
    common = {**scored_model.arguments, "corpus": str(scored_model.corpus)}
    requests = [(gap, is_crlf) for gap in gaps for is_crlf in (False, True)]

    def tasks() -> Iterator[Mapping[str, Any]]:
        for number, (gap, is_crlf) in enumerate(requests):
            report.update(number / len(requests), f"completion {number} of {len(requests)}")
            arguments = {"begin": gap.begin, "end": gap.end, "inserted": gap.inserted.decode()}
            yield {**common, "kind": gap.kind, "document": gap.document, **arguments, "is_crlf": is_crlf}

    report.start_phase("complete")
    with start_fork_server() as fork_server, launch_evaluation_workers(machine.cores, fork_server) as sphere:
        results = list(sphere.map_tasks("fill_gap", tasks()))
    by_line_end = {
        line_end: [(gap, found) for (gap, is_crlf), found in zip(requests, results, strict=True) if is_crlf == kind]
        for line_end, kind in (("kinds", False), ("crlf", True))
    }
    return {
        **{line_end: metrics_by_kind(pairs) for line_end, pairs in by_line_end.items()},
        "harmful": [
            {"path": corpus.val[gap.document].path, "kind": gap.kind, "begin": gap.begin, "end": gap.end, **found}
            for gap, found in by_line_end["kinds"]
            if found["harm"]
        ],
        "seconds": statistics.fmean(found["seconds"] for found in results),
        "seed": seed,
        **machine_report(machine),
    }


def metrics_by_kind(pairs: Sequence[tuple[Gap, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return the count and the shares of each kind of gap that was drawn."""
    found: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        verdicts = [verdict for gap, verdict in pairs if gap.kind == kind]
        if verdicts:
            shares = {
                "exact_match": statistics.fmean(verdict["is_exact"] for verdict in verdicts),
                "harm": statistics.fmean(bool(verdict["harm"]) for verdict in verdicts),
                "silent": statistics.fmean(verdict["is_silent"] for verdict in verdicts),
                "repeats_neighbour": statistics.fmean(verdict["repeats_neighbour"] for verdict in verdicts),
            }
            found[kind] = {"count": len(verdicts), **shares}
    return found
