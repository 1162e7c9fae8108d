"""The plan of a run's memory: what it reads, and what of it together with the network.

The network has seen what it learned and would be trusted too much there. So what is read with it are `dev` documents,
which it does not learn; the memory has not read them before either.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cllm.artifacts import read_object, write_json
from cllm.corpus import Corpus, Document
from cllm.errors import ArtifactError
from cllm.workspace.run import Run

# On a core of EPYC Zen 3, 2026-11-25: 45 to 55 KB/s are read, and 250 KB were heard in 14 s by two.
OVERHEAD_SECONDS = 20.0  # of any run: nothing is learned in them
ALONE_SHARE, ALONE_BYTES_PER_SECOND = 0.5, 48_000
WITH_NETWORK_SHARE, WITH_NETWORK_BYTES_PER_SECOND = 0.04, 12_000
LOAD_AND_SAVE_SECONDS = 10.0  # for loading the network, saving the memory, and making what completes of it: 9 to 15 s


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Numbers of learned documents, in order: those that are read, and then those read with the network."""

    alone: list[int]
    with_network: list[int]


def plan_memory(corpus: Corpus, seconds: float, num_workers: int, seed: int, speed: float = 1.0) -> MemoryPlan:
    """All documents, as far as a run of so many seconds can afford it; beyond that, a drawn part of them.

    `speed`: of this machine, by that of the constants.
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
    """Those of the documents, taken in order, that fit into so many bytes; at least the smallest."""
    taken: list[int] = []
    for number in numbers:
        if documents[number].bytes <= max_bytes:
            max_bytes -= documents[number].bytes
            taken.append(number)
    return taken or sorted(numbers, key=lambda number: documents[number].bytes)[:1]


def load_memory_plan(run: Run, corpus: Corpus) -> MemoryPlan:
    """A run's plan; ArtifactError where it does not fit the corpus."""
    value = read_object(run.memory_plan)
    try:
        numbers = [*value["alone"], *value["with_network"]]
        fits = len(value) == 2 and set(numbers) <= set(range(len(corpus.train))) and len(set(numbers)) == len(numbers)
    except (KeyError, TypeError):
        fits = False
    if not fits:
        raise ArtifactError(f"{run.memory_plan} does not list documents of this run: learn again with --fresh")
    return MemoryPlan(alone=value["alone"], with_network=value["with_network"])


def build_seconds(plan: MemoryPlan, corpus: Corpus) -> float:
    """How long a core will read beside the training."""
    documents = corpus.train
    return sum(documents[number].bytes for number in plan.alone) / ALONE_BYTES_PER_SECOND


def seconds_after_training(plan: MemoryPlan, corpus: Corpus, num_workers: int) -> float:
    """How long the memory will take after the training: with the network, and for the held-out files."""
    documents = corpus.train
    with_network = sum(documents[number].bytes for number in plan.with_network) / (
        WITH_NETWORK_BYTES_PER_SECOND * num_workers
    )
    return (
        LOAD_AND_SAVE_SECONDS + with_network + sum(document.bytes for document in corpus.val) / ALONE_BYTES_PER_SECOND
    )


def save_memory_plan(plan: MemoryPlan, run: Run) -> None:
    write_json(run.memory_plan, asdict(plan))


def describe_memory_plan(plan: MemoryPlan, corpus: Corpus) -> str:
    """What the memory is going to do, in a line."""
    documents = corpus.train
    alone, with_network = (
        sum(documents[number].bytes for number in part) / 1e6 for part in (plan.alone, plan.with_network)
    )
    all_ = sum(document.bytes for document in documents) / 1e6
    part = "" if len(plan.alone) + len(plan.with_network) == len(documents) else f", a part of {all_:.2f} MB,"
    return f"memory: reads {alone:.2f} MB{part} beside the training, then {with_network:.2f} MB with the network"
