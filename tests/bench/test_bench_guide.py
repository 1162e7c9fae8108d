"""`cllm bench guide`: gaps in real files, and how often their real text is refused."""

import json
from collections import Counter

import pytest
from commandline import Cllm

from cllm.bench.guide.benchmark import KINDS, cursors_in, refusals
from cllm.generation.guide.guide import Guide
from cllm.progress import PlainReporter

C_FILE = b"int f(int x) {\n  if (x) {\n    return g(x, 2);\n  }\n  return 0;\n}\n" * 5


class NoReport(PlainReporter):
    """A reporter that prints nothing."""

    def __init__(self) -> None:
        self._began = 0.0

    def start_phase(self, name: str) -> None:
        pass

    def update(self, share: float, note: str = "", seconds_left: float | None = None) -> None:
        pass


def test_gaps_are_of_all_kinds_with_and_without_the_text_to_the_right() -> None:
    found = cursors_in([C_FILE], 60, 0)
    assert len(found) == 60 and Counter(gap.kind for gap, _ in found) == dict.fromkeys(KINDS, 12)
    assert all(has_suffix for gap, has_suffix in found if gap.kind in ("before_closing", "inside_name"))
    for kind in ("end_of_line", "line", "lines"):
        assert [has_suffix for gap, has_suffix in found if gap.kind == kind].count(True) == 6


def test_real_text_of_a_file_that_parses_is_not_refused() -> None:
    found = refusals({"a.c": C_FILE, "b.txt": b"words", "c.py": b"\n"}, 60, 0, NoReport())
    assert found["gaps"] == {"C": 60} and found["real_refused"] == found["real_unparsed"] == {"C": 0.0}
    assert found["refused"] == found["unparsed"] == []
    assert 0 < found["seconds"]["C"]["p50"] <= found["seconds"]["C"]["p95"]


def test_each_refusal_is_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guide, "fits", lambda self, generated: b"return" not in generated)
    found = refusals({"a.c": C_FILE}, 60, 0, NoReport())
    assert found["refused"] and found["real_refused"]["C"] == len(found["refused"]) / 60
    assert found["real_unparsed"] == found["real_refused"] and found["unparsed"] == []
    for each in found["refused"]:
        assert "return" in each["real"] and each["path"] == "a.c" and each["language"] == "C"
        assert (each["left"] + each["real"] + each["right"]).encode() in C_FILE
        assert C_FILE[each["begin"] : each["end"]] == each["real"].encode()


def test_what_the_grammar_cannot_parse_is_unparsed() -> None:
    text = C_FILE + b"int digit(int c) {\n  switch (c) {\n  case '0' ... '9': return 1;\n  }\n}\n"
    found = refusals({"a.c": text * 3}, 120, 1, NoReport())
    assert found["real_refused"] == {"C": 0.0}
    assert found["real_unparsed"]["C"] == len(found["unparsed"]) / 120
    assert all(each["verdict"] == "unparsed" for each in found["unparsed"])
    assert json.loads(json.dumps(found)) == found


def test_bench_guide_reports_each_language(trained: Cllm) -> None:
    done = trained("bench", "guide", "-n", "30", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["real_refused"] == {"C": 0.0} and set(found["real_unparsed"]) == {"C"} and found["gaps"] == {"C": 30}
    assert "refused" in trained("bench", "guide", "-n", "6").stdout
    wrong = trained("bench", "guide", "-n", "0")
    assert wrong.returncode != 0 and "-n 0 is not between" in wrong.stderr
