"""`cllm bench guide`: gaps in real files, and how often their real text is refused."""

import json

import pytest
from commandline import Cllm
from hypothesis import given
from hypothesis import strategies as st

from cllm.bench.guide.benchmark import refusals
from cllm.bench.guide.gaps import KINDS, MAX_LINES, draw_gaps
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


@given(st.lists(st.text(alphabet="aä\n ;", max_size=40).map(str.encode), max_size=3), st.integers(0, 9))
def test_gaps_are_characters_of_their_texts_and_of_all_kinds_in_turn(texts: list[bytes], seed: int) -> None:
    gaps = draw_gaps(texts, 12, seed)
    assert len(gaps) == (12 if any(text.strip() for text in texts) else 0)
    assert [(gap.kind, gap.has_suffix) for gap in gaps] == (list(KINDS) * 2 if gaps else [])
    for gap in gaps:
        text = texts[gap.text]
        real = text[gap.begin : gap.end]
        assert real.decode().strip() and text[gap.end :].decode() is not None
        assert real.count(b"\n") <= (MAX_LINES if gap.kind == "lines" else 0)
        if gap.kind != "inside_line":
            assert gap.end == len(text) or text[gap.end] == ord("\n")


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


def test_bench_guide_reports_each_language(trained: Cllm) -> None:
    done = trained("bench", "guide", "-n", "30", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["real_refused"] == {"C": 0.0} and set(found["real_unparsed"]) == {"C"} and found["gaps"] == {"C": 30}
    assert "refused" in trained("bench", "guide", "-n", "6").stdout
    wrong = trained("bench", "guide", "-n", "0")
    assert wrong.returncode != 0 and "-n 0 is not between" in wrong.stderr
