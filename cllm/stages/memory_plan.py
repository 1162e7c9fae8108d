"""The plan of a run's memory: which documents it is trained on alone, and which together with the network.

On its training documents the network's predictions would get too much weight. So the memory is trained together with
the network on `dev` documents, which the network is not trained on; they are new to the memory too.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cllm.artifacts import read_object, write_json
from cllm.corpus import Corpus, Document
from cllm.errors import ArtifactError
from cllm.workspace.run import Run

# On EPYC Zen 3, 2026-11-25: 45 to 55 KB/s alone on one core; 250 KB with the network in 14 s on two.
OVERHEAD_SECONDS = 20.0  # of any run, without training
ALONE_SHARE, ALONE_BYTES_PER_SECOND = 0.5, 48_000
WITH_NETWORK_SHARE, WITH_NETWORK_BYTES_PER_SECOND = 0.04, 12_000


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Indices of training documents, in order: those trained on alone, then those trained on with the network."""

    alone: list[int]
    with_network: list[int]


def plan_memory(corpus: Corpus, seconds: float, num_workers: int, seed: int, speed: float = 1.0) -> MemoryPlan:
    """Plan all documents, or a random sample of them if a run of `seconds` is too short for all.

    `speed`: of this machine, relative to that of the constants.
    """
    documents = corpus.train
    order = np.random.default_rng(seed).permutation(len(documents)).tolist()
    dev_documents = [number for number in order if documents[number].split == "dev"]
    with_network = _documents_within(
        WITH_NETWORK_SHARE * seconds * speed * WITH_NETWORK_BYTES_PER_SECOND * num_workers, dev_documents, documents
    )
    others = [number for number in order if number not in set(with_network)]
    alone_seconds = ALONE_SHARE * speed * max(0.0, seconds - OVERHEAD_SECONDS)
    alone = _documents_within(alone_seconds * ALONE_BYTES_PER_SECOND, others, documents)
    return MemoryPlan(alone=sorted(alone), with_network=sorted(with_network))


def _documents_within(max_bytes: float, numbers: Sequence[int], documents: Sequence[Document]) -> list[int]:
    """The documents, taken greedily in order, that fit into `max_bytes`; at least the smallest."""
    taken: list[int] = []
    for number in numbers:
        if documents[number].bytes <= max_bytes:
            max_bytes -= documents[number].bytes
            taken.append(number)
    return taken or sorted(numbers, key=lambda number: documents[number].bytes)[:1]


def load_memory_plan(run: Run, corpus: Corpus) -> MemoryPlan:
    """Load a run's memory plan; ArtifactError if it does not match the corpus."""
    value = read_object(run.memory_plan_path)
    try:
        numbers = [*value["alone"], *value["with_network"]]
        fits = len(value) == 2 and set(numbers) <= set(range(len(corpus.train))) and len(set(numbers)) == len(numbers)
    except (KeyError, TypeError):
        fits = False
    if not fits:
        raise ArtifactError(f"{run.memory_plan_path} does not list documents of this run: train again with --fresh")
    return MemoryPlan(alone=value["alone"], with_network=value["with_network"])


def build_seconds(plan: MemoryPlan, corpus: Corpus) -> float:
    """Seconds of one core, during the training, for the documents that the memory is trained on alone."""
    documents = corpus.train
    return sum(documents[number].bytes for number in plan.alone) / ALONE_BYTES_PER_SECOND


def save_memory_plan(plan: MemoryPlan, run: Run) -> None:
    write_json(run.memory_plan_path, asdict(plan))


def describe_memory_plan(plan: MemoryPlan, corpus: Corpus) -> str:
    """The memory plan as a progress line."""
    documents = corpus.train
    alone, with_network = (
        sum(documents[number].bytes for number in part) / 1e6 for part in (plan.alone, plan.with_network)
    )
    all_ = sum(document.bytes for document in documents) / 1e6
    part = "" if len(plan.alone) + len(plan.with_network) == len(documents) else f" of {all_:.2f} MB"
    return f"memory: {alone:.2f} MB{part} during the training, then {with_network:.2f} MB with the network"
