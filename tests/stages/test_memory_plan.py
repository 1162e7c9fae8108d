"""The choice of the documents that the memory is trained on, and its storage."""

import json
from pathlib import Path

import pytest
from commandline import make_repository

from cllm.corpus import Corpus
from cllm.corpus.ingest import CorpusConfig, ingest
from cllm.errors import ArtifactError
from cllm.stages.memory_plan import (
    ALONE_BYTES_PER_SECOND,
    ALONE_SHARE,
    OVERHEAD_SECONDS,
    WITH_NETWORK_BYTES_PER_SECOND,
    WITH_NETWORK_SHARE,
    MemoryPlan,
    describe_memory_plan,
    load_memory_plan,
    plan_memory,
    save_memory_plan,
)
from cllm.workspace.run import Run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("plan")
    return ingest(make_repository(folder / "repository"), folder / "corpus", CorpusConfig())


def splits_of(corpus: Corpus, numbers: list[int]) -> set[str]:
    return {corpus.train[number].split for number in numbers}


def test_enough_time_includes_all_documents_and_dev_with_the_network(corpus: Corpus) -> None:
    plan = plan_memory(corpus, 300, 2, 0)
    assert sorted(plan.alone + plan.with_network) == list(range(len(corpus.train)))
    assert splits_of(corpus, plan.with_network) == {"dev"} and splits_of(corpus, plan.alone) == {"train"}
    assert "a part of" not in describe_memory_plan(plan, corpus)


def test_limited_time_selects_a_part_and_reports_it(corpus: Corpus) -> None:
    documents = corpus.train
    seconds = OVERHEAD_SECONDS + 0.05
    plan = plan_memory(corpus, seconds, 1, 0)
    max_bytes = (seconds - OVERHEAD_SECONDS) * ALONE_SHARE * ALONE_BYTES_PER_SECOND
    assert 0 < sum(documents[number].bytes for number in plan.alone) <= max_bytes
    max_bytes = seconds * WITH_NETWORK_SHARE * WITH_NETWORK_BYTES_PER_SECOND
    assert 0 < sum(documents[number].bytes for number in plan.with_network) <= max_bytes and not set(plan.alone) & set(
        plan.with_network
    )
    assert plan == plan_memory(corpus, seconds, 1, 0) != plan_memory(corpus, seconds, 1, 1)
    total = sum(document.bytes for document in documents) / 1e6
    assert f" of {total:.2f} MB" in describe_memory_plan(plan, corpus)
    faster = plan_memory(corpus, seconds, 1, 0, speed=2.0)
    assert len(faster.alone) > len(plan.alone) and len(faster.with_network) >= len(plan.with_network)
    smallest = plan_memory(corpus, 0.05, 1, 0)
    assert len(smallest.alone) == len(smallest.with_network) == 1


def test_plan_round_trip_and_rejection_of_invalid_plans(corpus: Corpus, tmp_path: Path) -> None:
    run = Run(tmp_path)
    plan = plan_memory(corpus, 300, 2, 0)
    save_memory_plan(plan, run)
    assert load_memory_plan(run, corpus) == plan
    for invalid in (
        {"alone": [0]},
        {"alone": [0], "with_network": [0]},
        {"alone": [10_000], "with_network": []},
        {"alone": 3, "with_network": 4},
    ):
        run.memory_plan_path.write_text(json.dumps(invalid))
        with pytest.raises(ArtifactError, match="memory-plan"):
            load_memory_plan(run, corpus)


def test_no_dev_documents_leave_none_for_training_with_the_network(corpus: Corpus) -> None:
    train_documents = [document for document in corpus.documents if document.split == "train"]
    plan = plan_memory(Corpus(corpus.directory, train_documents, corpus.report), 300, 2, 0)
    assert plan == MemoryPlan(alone=list(range(len(train_documents))), with_network=[])
