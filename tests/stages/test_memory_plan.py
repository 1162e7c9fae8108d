"""Which documents a run's memory reads."""

import json
from pathlib import Path

import pytest
from commandline import make_repository

from cllm.corpus import Corpus, CorpusConfig, ingest
from cllm.errors import ArtifactError
from cllm.run import Run
from cllm.stages.memory_plan import (
    HEARD_BYTES_PER_SECOND,
    HEARD_SHARE,
    OTHER_SECONDS,
    READ_BYTES_PER_SECOND,
    READ_SHARE,
    MemoryPlan,
    described,
    load_memory_plan,
    plan_memory,
    save_memory_plan,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("plan")
    return ingest(make_repository(folder / "repository"), folder / "corpus", CorpusConfig())


def splits(corpus: Corpus, numbers: list[int]) -> set[str]:
    return {corpus.train[number].split for number in numbers}


def test_with_time_all_is_read_and_the_dev_documents_with_the_network(corpus: Corpus) -> None:
    plan = plan_memory(corpus, 300, 2, 0)
    assert sorted(plan.read + plan.heard) == list(range(len(corpus.train)))
    assert splits(corpus, plan.heard) == {"dev"} and splits(corpus, plan.read) == {"train"}
    assert "a part of" not in described(plan, corpus)


def test_without_time_a_part_is_read_and_the_plan_says_so(corpus: Corpus) -> None:
    documents = corpus.train
    seconds = OTHER_SECONDS + 0.05
    plan = plan_memory(corpus, seconds, 1, 0)
    most = (seconds - OTHER_SECONDS) * READ_SHARE * READ_BYTES_PER_SECOND
    assert 0 < sum(documents[number].bytes for number in plan.read) <= most
    most = seconds * HEARD_SHARE * HEARD_BYTES_PER_SECOND
    assert 0 < sum(documents[number].bytes for number in plan.heard) <= most and not set(plan.read) & set(plan.heard)
    assert plan == plan_memory(corpus, seconds, 1, 0) != plan_memory(corpus, seconds, 1, 1)
    assert "a part of" in described(plan, corpus)
    faster = plan_memory(corpus, seconds, 1, 0, speed=2.0)
    assert len(faster.read) > len(plan.read) and len(faster.heard) >= len(plan.heard)
    least = plan_memory(corpus, 0.05, 1, 0)
    assert len(least.read) == len(least.heard) == 1


def test_a_saved_plan_is_the_same_and_a_foreign_one_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    run = Run(tmp_path)
    plan = plan_memory(corpus, 300, 2, 0)
    save_memory_plan(plan, run)
    assert load_memory_plan(run, corpus) == plan
    for wrong in ({"read": [0]}, {"read": [0], "heard": [0]}, {"read": [10_000], "heard": []}, {"read": 3, "heard": 4}):
        run.memory_plan.write_text(json.dumps(wrong))
        with pytest.raises(ArtifactError, match="memory-plan"):
            load_memory_plan(run, corpus)


def test_no_dev_documents_no_hearing(corpus: Corpus) -> None:
    learned = [document for document in corpus.documents if document.split == "train"]
    plan = plan_memory(Corpus(corpus.directory, learned, corpus.report), 300, 2, 0)
    assert plan == MemoryPlan(read=list(range(len(learned))), heard=[])
