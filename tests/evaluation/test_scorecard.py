"""Metrics of the scorecard: bits per byte, near duplicates, highest-cost files, and checks of completions."""

import pytest

from cllm.corpus import Document
from cllm.evaluation.scorecard import held_out_metrics, judge_completion, summarise


def document(path: str, size: int, near: str | None = None) -> Document:
    return Document(path=path, language="C", split="val", offset=0, bytes=size, sha256="0" * 64, near_duplicate_of=near)


DOCUMENTS = [document("a.c", 100), document("b.c", 300, "copy_of_b.c"), document("c.c", 600)]
RESULTS = [
    {"document": 0, "bits": {"model": 210.0, "memory": 150.0, "mixed": 200.0}, "tokens": 30, "top1": 10, "top5": 20},
    {"document": 1, "bits": {"model": 40.0, "memory": 50.0, "mixed": 30.0}, "tokens": 100, "top1": 95, "top5": 100},
    {"document": 2, "bits": {"model": 920.0, "memory": 950.0, "mixed": 900.0}, "tokens": 170, "top1": 85, "top5": 120},
]


def test_bits_per_byte_are_total_bits_over_total_bytes() -> None:
    metrics = summarise(RESULTS, DOCUMENTS)
    bits = metrics["bits_per_byte"]
    assert (bits["model"], bits["memory"], bits["mixed"]) == pytest.approx((1.17, 1.15, 1.13))
    assert metrics["next_token"]["top1"] == pytest.approx(190 / 300)
    low, high = bits["mixed_confidence_95"]
    assert 0.1 <= low <= 1.13 <= high <= 2.0


def test_metrics_without_near_duplicates_exclude_them() -> None:
    metrics = held_out_metrics(RESULTS, DOCUMENTS)
    without = metrics["without_near_duplicates"]
    assert without["held_out"] == {"files": 2, "bytes": 700, "scored_files": 2, "scored_bytes": 700}
    assert without["bits_per_byte"]["mixed"] == pytest.approx(1100 / 700)
    assert metrics["near_duplicates"] == [["b.c", "copy_of_b.c"]]


def test_highest_cost_files_come_first() -> None:
    first, *others = held_out_metrics(RESULTS, DOCUMENTS)["highest_cost_files"]
    assert (first["path"], first["bytes"], len(others)) == ("c.c", 600, 2)
    assert first["share_of_bits"] == pytest.approx(900 / 1130) and first["bits_per_byte"] == pytest.approx(1.5)


def test_sample_reports_the_numbers_of_all_and_scored_files() -> None:
    metrics = held_out_metrics(RESULTS[1:], DOCUMENTS)
    assert metrics["held_out"] == {"files": 3, "bytes": 1000, "scored_files": 2, "scored_bytes": 900}
    assert metrics["without_near_duplicates"]["held_out"]["scored_files"] == 1


def test_summary_of_no_results_has_no_scored_files() -> None:
    assert summarise([], [])["held_out"]["scored_files"] == 0


def test_completion_is_judged_by_its_first_construct() -> None:
    good = judge_completion("C", "int main", "int main(void) { return 0; }\nint unfinished(")
    assert good["parses"] and good["unit"] == "int main(void) { return 0; }"
    assert good["compiles"] in (True, None)
    bad = judge_completion("C", "int main", "int main(void) { return 0; ")
    assert not bad["parses"] and bad["compiles"] is False
    python = judge_completion("Python", "def ", "def f(x):\n    return x\n\ndef g(")
    assert python["parses"] and python["compiles"] is None
