"""The scorecard of a finished model: its scores, its cost, and the machine."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from cllm import __version__
from cllm.artifacts import read_object
from cllm.corpus import Corpus
from cllm.evaluation.bar_chart import render_bars
from cllm.evaluation.baselines import evaluate_baselines
from cllm.evaluation.scorecard import (
    CORES_PER_EVALUATION_WORKER,
    EXPERTS,
    ScoredModel,
    complete_prompts,
    held_out_metrics,
    launch_evaluation_workers,
    main_language,
    measure_speed,
    score_files,
)
from cllm.machine import MemorySampler
from cllm.spheres import FANOUT, ForkServer
from cllm.stages.job import Job
from cllm.workspace.run import Run

PUBLISH_SECONDS = 0.5  # to end the processes and write the scorecard
PACKAGES = ("torch", "numpy", "numba", "tokenizers", "safetensors", "tree-sitter")


def score(job: Job, scored_model: ScoredModel, corpus: Corpus, fork_server: ForkServer) -> dict[str, Any]:
    """Measure the scores of a model on the held-out files of its corpus."""
    job.start_phase("scorecard")
    num_workers = min(FANOUT, max(1, job.num_workers // CORES_PER_EVALUATION_WORKER))
    with launch_evaluation_workers(num_workers, fork_server) as sphere:
        language = main_language(corpus)
        syntax = complete_prompts(sphere, scored_model, language) if language else {}
        generation = measure_speed(sphere, scored_model, corpus)
        # Last, as a sample of the files can be scored if there is little time.
        seconds = job.seconds_before(PUBLISH_SECONDS)
        results = score_files(sphere, scored_model, corpus, seconds, job.options.seed, job.report.update)
        for reason in sphere.replacement_reasons:
            job.report.log(f"{reason}; its tasks were given to a new worker")
    return {
        **held_out_metrics(results, corpus.val),
        "language": language,
        "syntax": syntax,
        "generation": generation,
        "weights_sha256": scored_model.weights_sha256,
    }


def score_baselines(
    job: Job, scored_model: ScoredModel, corpus: Corpus, fork_server: ForkServer, compressors: Sequence[str]
) -> dict[str, Any]:
    """Measure the scores of the baselines on the same files."""
    job.start_phase("baselines")
    with launch_evaluation_workers(min(FANOUT, job.num_workers), fork_server) as sphere:
        return evaluate_baselines(sphere, scored_model, corpus, compressors, job.options.seed, job.report.update)


def baselines_chart(card: Mapping[str, Any]) -> str:
    """An SVG bar chart of the bits per byte of the baselines and of each expert, in descending order."""
    rows = [(name, value, False) for name, value in card["baselines"]["bits_per_byte"].items() if value is not None]
    names = {"model": "network", "memory": "memory", "mixed": "both"}
    rows += [(names[expert], card["bits_per_byte"][expert], True) for expert in EXPERTS if "bits_per_byte" in card]
    return render_bars("bits per byte of held-out files (less is better)", sorted(rows, key=lambda row: -row[1]))


def run_metadata(job: Job, run: Run, memory_sampler: MemorySampler) -> dict[str, Any]:
    """The cost of the whole command (seconds, bytes of memory), the machine, and the versions."""
    machine = dataclasses.asdict(job.machine)
    return {
        "train": read_object(run.training_path),
        "seconds": {"total": job.total_seconds, "phases": job.phase_seconds},
        "peak_memory_bytes": memory_sampler.peak_bytes,
        "machine": {**machine, "features": sorted(job.machine.features or ())},
        "versions": {"cllm": __version__, **{name: importlib.metadata.version(name) for name in PACKAGES}},
    }
