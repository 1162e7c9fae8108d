"""`cllm bench valid`: how often a completion leaves a held-out file without an error that it did not have."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cllm.bench.contest import circumstances_of
from cllm.bench.prompts import bench_prompts
from cllm.corpus import Corpus
from cllm.errors import UsageError
from cllm.evaluation.scorecard import launch_scorers
from cllm.evaluation.validity import Trial, draw_trials, summary_of
from cllm.machine import default_dtype, describe
from cllm.progress import Reporter
from cllm.run import current_run, existing_directory
from cllm.stages.scoring import subject_of
from cllm.stages.workers import start_nursery
from cllm.workspace import Workspace

MOST_COMPLETIONS = 100_000


def bench_valid(root: Path, count: int, seed: int, report: Reporter) -> dict[str, Any]:
    """Figures over `count` completions by what is in use in a repository; those that were not valid; and `prompts`."""
    if not 1 <= count <= MOST_COMPLETIONS:
        raise UsageError(f"-n {count} is not between 1 and {MOST_COMPLETIONS:,}")
    subject = subject_of(current_run(Workspace(existing_directory(root))))
    corpus, machine = Corpus.open(subject.corpus), describe()
    trials = draw_trials(corpus, count, seed)
    if not trials:
        raise UsageError(f"no file that was held out of {root} is in a language that is parsed: nothing to judge")
    common = {"model": str(subject.model), "memory": str(subject.memory), "corpus": str(subject.corpus)}
    common["reading"] = default_dtype(machine)

    def tasks() -> Iterator[Mapping[str, Any]]:
        for number, trial in enumerate(trials):
            report.update(number / len(trials), f"completion {number} of {len(trials)}")
            yield {**common, "document": trial.cursor.document, **place_of(trial)}

    report.phase("complete")
    with start_nursery() as nursery, launch_scorers(machine.cores, nursery) as sphere:
        results = list(sphere.deal("complete_both", tasks()))
    prompts = bench_prompts(subject, corpus, report)
    pairs = list(zip(trials, results, strict=True))
    kinds = {"fill_in_the_middle": True, "left_to_right": False}
    chosen = {name: [found for trial, found in pairs if trial.is_middle == kind] for name, kind in kinds.items()}
    return {
        **summary_of(results),
        **{name: summary_of(some) for name, some in chosen.items() if some},
        "prompts": prompts,
        "invalid": [
            {"path": corpus.val[trial.cursor.document].path, **place_of(trial), **found["valid"]}
            for trial, found in pairs
            if not found["valid"]["valid"]
        ],
        "seed": seed,
        **circumstances_of(machine),
    }


def place_of(trial: Trial) -> dict[str, Any]:
    """The trial as the worker takes it."""
    return {"begin": trial.cursor.begin, "end": trial.cursor.end, "is_middle": trial.is_middle}
