"""The scorecard: bits per byte of network, memory and mixture on held-out files, and completions of fixed prompts.

Bits per byte of a set of files are their total bits over their total bytes; a file's bits are those of its tokens from
the first to end-of-text. Every metric is reported twice, with and without the held-out files that are near duplicates
of training files. If there is not enough time for all files, a seeded sample is scored and its confidence interval is
reported.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cllm.corpus import Corpus, Document
from cllm.evaluation.prompts import prompts_for
from cllm.machine import WorkTimer
from cllm.spheres import ForkServer, Sphere
from cllm.syntax.compiler import compiles
from cllm.syntax.error_count import complete_construct_end

PROMPT_TOKENS = 128
BOOTSTRAP_RESAMPLES = 1000  # resamples of the files for a confidence interval
NUM_HIGHEST_COST_FILES = 5  # files that are listed by name
EXPERTS = ("model", "memory", "mixed")
# One thread runs the network, one the memory; each worker has its own copy of the memory.
CORES_PER_EVALUATION_WORKER = 2
SCORED_BYTES_PER_SECOND = 8_000  # by one worker, until it is measured
SPEED_FILES = 8  # files whose beginnings are the prompts of the speed measurement


@dataclass(frozen=True, kw_only=True)
class ScoredModel:
    """A model to score: directories of the model, its memory and its corpus.

    `dtype` is that in which the network is scored, `weights_sha256` (hex) identifies the weights.
    """

    model: Path
    dtype: str
    weights_sha256: str
    memory: Path
    corpus: Path

    @property
    def arguments(self) -> dict[str, str]:
        return {"model": str(self.model), "memory": str(self.memory)}


def launch_evaluation_workers(num_workers: int, fork_server: ForkServer) -> Sphere:
    """Start worker processes that score documents and complete prompts."""
    return Sphere(fork_server, "cllm.evaluation.worker", num_workers, idempotent=True)


def score_files(
    sphere: Sphere,
    scored_model: ScoredModel,
    corpus: Corpus,
    seconds: float | None,
    seed: int,
    progress: Callable[[float], None],
) -> list[dict[str, Any]]:
    """Score held-out documents in a random order, except those that `seconds` do not suffice for; at least one.

    `progress` is called with the completed share (0 to 1).
    """
    documents = corpus.val
    order = np.random.default_rng(seed).permutation(len(documents)).tolist()
    timer = WorkTimer(seconds, SCORED_BYTES_PER_SECOND)  # of one worker
    num_workers = len(sphere.workers)
    common = {**scored_model.arguments, "dtype": scored_model.dtype, "corpus": str(scored_model.corpus)}

    def tasks() -> Iterator[dict[str, Any]]:
        in_progress: deque[int] = deque()
        for count, document in enumerate(order):
            progress(count / len(order))
            if len(in_progress) == num_workers:  # a worker is free, so the first of them, or a smaller one, is finished
                timer.add(in_progress.popleft() / num_workers)
            size = documents[document].bytes
            if count == 0 or timer.has_time_for(size):
                in_progress.append(size)
                yield {**common, "document": document}

    return sphere.map_tasks("score", tasks())


def summarise(results: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> dict[str, Any]:
    """Return bits per byte and top-k accuracy over the scored documents, all of `documents` or a sample of them."""
    if not results:
        return {"held_out": {"files": 0, "bytes": 0, "scored_files": 0, "scored_bytes": 0}}
    bits = np.array([[result["bits"][expert] for expert in EXPERTS] for result in results])
    size = np.array([documents[result["document"]].bytes for result in results])
    tokens = sum(result["tokens"] for result in results)
    draws = np.random.default_rng(0).integers(0, len(bits), (BOOTSTRAP_RESAMPLES, len(bits)))
    low, high = np.quantile(bits[draws].sum(1) / size[draws].sum(1)[:, None], [0.025, 0.975], 0)
    per_byte = bits.sum(0) / size.sum()
    return {
        "held_out": {
            "files": len(documents),
            "bytes": sum(document.bytes for document in documents),
            "scored_files": len(results),
            "scored_bytes": int(size.sum()),
        },
        "bits_per_byte": {
            **{expert: float(per_byte[index]) for index, expert in enumerate(EXPERTS)},
            **{f"{expert}_confidence_95": [float(low[i]), float(high[i])] for i, expert in enumerate(EXPERTS)},
        },
        "next_token": {
            "top1": sum(result["top1"] for result in results) / tokens,
            "top5": sum(result["top5"] for result in results) / tokens,
        },
    }


def held_out_metrics(results: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> dict[str, Any]:
    """Return the summary of all held-out documents, and of those that are not near duplicates of training documents."""
    original_numbers = [number for number, document in enumerate(documents) if document.near_duplicate_of is None]
    index_of = {number: index for index, number in enumerate(original_numbers)}
    results_of_originals = [
        {**result, "document": index_of[result["document"]]} for result in results if result["document"] in index_of
    ]
    return {
        **summarise(results, documents),
        "without_near_duplicates": summarise(results_of_originals, [documents[number] for number in original_numbers]),
        "highest_cost_files": highest_cost_files(results, documents),
        "near_duplicates": [[d.path, d.near_duplicate_of] for d in documents if d.near_duplicate_of is not None],
    }


def highest_cost_files(results: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> list[dict[str, Any]]:
    """Return the files with the most bits: a few files can dominate the total."""
    total = sum(result["bits"]["mixed"] for result in results)
    found = []
    for result in sorted(results, key=lambda result: -result["bits"]["mixed"])[:NUM_HIGHEST_COST_FILES]:
        document, bits = documents[result["document"]], result["bits"]["mixed"]
        share, per_byte = bits / total, bits / document.bytes
        found.append(
            {"path": document.path, "share_of_bits": share, "bytes": document.bytes, "bits_per_byte": per_byte}
        )
    return found


def main_language(corpus: Corpus) -> str | None:
    """Return the language with the most training bytes among those with prompts; None if there is none."""
    size: Counter[str] = Counter()
    for document in corpus.train:
        if prompts_for(document.language):
            size[document.language] += document.bytes
    return size.most_common(1)[0][0] if size else None


def complete_prompts(sphere: Sphere, scored_model: ScoredModel, language: str) -> dict[str, dict[str, Any]]:
    """Complete each prompt of a language by a block; return by prompt the text and whether it parses and compiles."""
    prompts = prompts_for(language)
    common = {**scored_model.arguments, "language": language, "max_tokens": PROMPT_TOKENS}
    texts = sphere.map_tasks("complete_prompt", [{**common, "prompt": prompt} for prompt in prompts])
    return {prompt: judge_completion(language, prompt, text) for prompt, text in zip(prompts, texts, strict=True)}


def measure_speed(sphere: Sphere, scored_model: ScoredModel, corpus: Corpus) -> dict[str, Any]:
    """Measure the decoding speed after the beginnings of held-out files, in one worker while the others are idle."""
    documents = list(range(min(SPEED_FILES, len(corpus.val))))
    found: dict[str, Any] = sphere.call_one(
        "measure_speed", **scored_model.arguments, corpus=str(scored_model.corpus), documents=documents
    )
    return found


def judge_completion(language: str, prompt: str, text: str) -> dict[str, Any]:
    """Cut a completion after its first complete construct; return whether it parses and, for C, compiles."""
    content = text.encode()
    end = complete_construct_end(language, content, len(prompt.encode()))
    unit = content[:end] if end >= 0 else content
    verdict = compiles(unit) if language == "C" and end >= 0 else None
    return {
        "text": text,
        "parses": end >= 0,
        "unit": unit.decode() if end >= 0 else None,
        "compiles": verdict.ok if verdict else (False if language == "C" else None),
    }
