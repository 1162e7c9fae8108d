"""Gaps in held-out files: each kind is what it says, and judging finds the harm that is meant."""

import re

import pytest
from commandline import make_repository
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus import Corpus
from cllm.corpus.ingest import CorpusConfig, ingest
from cllm.evaluation.gaps import KINDS, Gap, draw_gaps
from cllm.evaluation.harm import judge_suggestion


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("gaps")
    return ingest(make_repository(folder / "repository"), folder / "corpus", CorpusConfig())


@pytest.fixture(scope="module")
def texts(corpus: Corpus) -> list[bytes]:
    return [corpus.text(document) for document in corpus.val]


@pytest.fixture(scope="module")
def gaps(texts: list[bytes]) -> list[Gap]:
    return list(draw_gaps(texts, 20, 0))


def test_gaps_are_seeded_and_distinct(texts: list[bytes], gaps: list[Gap]) -> None:
    assert gaps == list(draw_gaps(texts, 20, 0))
    assert gaps != list(draw_gaps(texts, 20, 1))
    some = ("lines", "file_end")
    assert list(draw_gaps(texts, 20, 0, some)) == [gap for gap in gaps if gap.kind in some]
    assert {gap.kind for gap in gaps} == set(KINDS)
    assert len({(gap.kind, gap.document, gap.begin, gap.end) for gap in gaps}) == len(gaps)
    assert all(sum(gap.kind == kind for gap in gaps) <= 20 for kind in KINDS)


def test_each_kind_of_gap_is_what_it_says(texts: list[bytes], gaps: list[Gap]) -> None:
    for gap in gaps:
        text = texts[gap.document]
        before, missing, after = gap.split(text)
        current, rest = before.rpartition(b"\n")[2], after.partition(b"\n")[0]
        if gap.kind == "nothing_missing":
            assert missing == b"" and not current.strip() and not rest
            assert before + after[1:].removeprefix(current) == text, "without the opened line, it is the file"
            assert before.removesuffix(b"\n" + current).rpartition(b"\n")[2].strip(), "no blank line above"
            continue
        assert before + missing + after == text and missing.strip()
        assert (b"\n" in missing) == (gap.kind == "lines")
        if gap.kind in ("line", "lines", "file_start", "file_end"):
            assert not current.strip() and not rest.strip()
        if gap.kind == "before_closing":
            assert re.match(rb"\*/|[)\]}\"'`]", after)
        if gap.kind == "inside_name":
            assert (current[-1:] + missing + rest[:1]).decode().isidentifier()
        assert gap.kind != "file_start" or before == b""
        assert gap.kind != "file_end" or after.strip() == b""


@given(st.lists(st.text(alphabet="aä\n ;(}", max_size=40).map(str.encode), max_size=3), st.integers(0, 9))
def test_gaps_in_any_texts_are_whole_characters(texts: list[bytes], seed: int) -> None:
    for gap in draw_gaps(texts, 3, seed):
        assert all(part.decode() is not None for part in gap.split(texts[gap.document]))


TEXT = b"int first(int one) {\n  return one + 1;\n}\n"
CALL = Gap(kind="before_closing", document=0, begin=10, end=17)  # int first(|) {
NAME = Gap(kind="inside_name", document=0, begin=6, end=8)  # int fi|t
LINE = Gap(kind="line", document=0, begin=23, end=38)
OPENED = Gap(kind="nothing_missing", document=0, begin=23, end=21, inserted=b"\n")


@pytest.mark.parametrize(
    ("gap", "suggested", "harm"),
    [
        (CALL, b"int one", ""),
        (CALL, b"char *two", ""),
        (CALL, b"int one) {", "repeats"),
        (CALL, b"int two) + (int three", "closes"),
        (CALL, b"int two, ,", "leaves an error"),
        (NAME, b"rs", ""),
        (NAME, b"rst", "breaks a name"),
        (NAME, b"x(); fi", "breaks a name"),
        (LINE, b"  one++;", ""),
        (LINE, b"}", "repeats"),
        (LINE, b"int first(int one) {", "repeats"),
        (LINE, b"if (one) {", "leaves an error"),
        (OPENED, b"return one + 1;", "repeats"),
        (OPENED, b"one++;", ""),
        (OPENED, b"  ", ""),
    ],
)
def test_harm_of_suggestions(gap: Gap, suggested: bytes, harm: str) -> None:
    verdict = judge_suggestion(gap, TEXT, "a.c", suggested, {b"first", b"one"}.__contains__)
    assert verdict.harm == harm
    assert verdict.is_exact == (suggested.strip() == gap.split(TEXT)[1].strip() != b"")
    assert verdict.is_silent == (not suggested.strip())
