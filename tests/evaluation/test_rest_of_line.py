"""Rest-of-line accuracy: sampled cursors, the copying baseline, and the comparison of lines."""

import pytest
from commandline import make_repository
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus import Corpus
from cllm.corpus.ingest import CorpusConfig, ingest
from cllm.evaluation.rest_of_line import copied_line, draw_cursors, edit_similarity, judge_line, mean_of


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("lines")
    return ingest(make_repository(folder / "repository"), folder / "corpus", CorpusConfig())


def test_cursors_are_seeded_and_precede_a_nonblank_rest_of_line(corpus: Corpus) -> None:
    cursors = draw_cursors(corpus, corpus.val, 200, 0)
    assert len(cursors) == 200 and cursors == draw_cursors(corpus, corpus.val, 200, 0)
    assert cursors != draw_cursors(corpus, corpus.val, 200, 1)
    assert {cursor.document for cursor in cursors} == set(range(len(corpus.val)))
    for cursor in cursors:
        rest = corpus.text(corpus.val[cursor.document])[cursor.begin : cursor.end]
        assert rest.strip() and b"\n" not in rest


def test_baseline_copies_after_the_longest_context() -> None:
    train_text = b"int a = first;\nlong b = second;\n"
    assert copied_line(train_text, b"x;\nlong b =") == " second;"
    assert copied_line(train_text, b"short b =") == " second;"
    assert copied_line(train_text, b"int a = other;\nint a =") == " other;"  # of equally long contexts, the later one
    assert copied_line(b"", b"") == "" and copied_line(b"abc", b"q") == ""


@given(st.text(max_size=12), st.text(max_size=12))
def test_edit_similarity_is_symmetric_and_one_only_for_equal_texts(one: str, other: str) -> None:
    found = edit_similarity(one, other)
    assert 0 <= found <= 1 and found == edit_similarity(other, one)
    assert (found == 1) == (one == other)


def test_judge_line_compares_the_first_line() -> None:
    assert judge_line("foo(bar);", "foo(bar); \nmore") == {"exact_match": 1, "edit_similarity": 1, "first_word": 1}
    half = judge_line("foo(bar);", "foo(baz);")
    assert half["exact_match"] == 0 and half["edit_similarity"] == pytest.approx(8 / 9) and half["first_word"] == 1
    assert judge_line("foo", "")["first_word"] == 0
    assert mean_of([half, half])["edit_similarity"] == pytest.approx(8 / 9)
    assert mean_of([]) == {"cursors": 0}
