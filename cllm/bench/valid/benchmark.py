"""`cllm bench valid`: the share of completions that add no syntax error to a held-out file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cllm.bench.shared.config import machine_report
from cllm.bench.valid.prompts import bench_prompts
from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.evaluation.scorecard import launch_evaluation_workers
from cllm.evaluation.validity import Trial, draw_trials, summary_of
from cllm.machine import detect_machine
from cllm.progress import Reporter
from cllm.stages.trained_model import open_scored_model
from cllm.stages.workers import start_fork_server
from cllm.workspace.run import current_run_of

MAX_COMPLETIONS = 100_000


def bench_valid(root: Path, count: int, seed: int, report: Reporter) -> dict[str, Any]:
    """Return metrics over `count` completions by a repository's current run, the invalid ones, and `prompts`.

    Raises UsageError if `count` is out of range or no held-out file has a language with a grammar.
    """
    if not 1 <= count <= MAX_COMPLETIONS:
        raise UsageError(f"-n {count} is not between 1 and {MAX_COMPLETIONS:,}")
    scored_model = open_scored_model(current_run_of(root))
    corpus, machine = Corpus.open(scored_model.corpus), detect_machine()
    trials = draw_trials(corpus, count, seed)
    if not trials:
        raise UsageError(f"{root} has no held-out files in a language with a grammar: nothing to check")
    common = {**scored_model.arguments, "corpus": str(scored_model.corpus)}

    def tasks() -> Iterator[Mapping[str, Any]]:
        for number, trial in enumerate(trials):
            report.update(number / len(trials), f"completion {number} of {len(trials)}")
            yield {**common, "document": trial.cursor.document, **trial_arguments(trial)}

    report.start_phase("complete")
    with start_fork_server() as fork_server, launch_evaluation_workers(machine.cores, fork_server) as sphere:
        results = list(sphere.map_tasks("complete_with_and_without_guide", tasks()))
    prompts = bench_prompts(scored_model, corpus, report)
    pairs = list(zip(trials, results, strict=True))
    kinds = {"fill_in_the_middle": True, "left_to_right": False}
    chosen = {name: [found for trial, found in pairs if trial.is_middle == kind] for name, kind in kinds.items()}
    return {
        **summary_of(results),
        **{name: summary_of(some) for name, some in chosen.items() if some},
        "prompts": prompts,
        "invalid": [
            {"path": corpus.val[trial.cursor.document].path, **trial_arguments(trial), **found["valid"]}
            for trial, found in pairs
            if not found["valid"]["valid"]
        ],
        "seed": seed,
        **machine_report(machine),
    }


def trial_arguments(trial: Trial) -> dict[str, Any]:
    """Return the trial as arguments of the worker's call."""
    return {"begin": trial.cursor.begin, "end": trial.cursor.end, "is_middle": trial.is_middle}
