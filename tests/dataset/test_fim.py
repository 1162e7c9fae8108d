"""Fill-in-the-middle: the rearranged row contains the text, and rows that stay unchanged."""

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cllm.dataset.fim import GAPS, fill_in_the_middle, gap
from cllm.tokenizer import Tokenizer

TEXT = b"static int uv__read(int fd, void* buf) {\n  return read(fd, buf, 10);\n}\n" * 8
TOKENIZER = Tokenizer.train([TEXT], 330)
SPECIAL = TOKENIZER.special


def split_parts(row: list[int]) -> tuple[bytes, bytes, bytes]:
    """Prefix, suffix and middle as bytes, for PSM and SPM; in SPM, `middle` also contains the prefix."""
    row = [token for token in row if token != SPECIAL["<|fim_pad|>"]]
    assert row[0] == SPECIAL["<|fim_prefix|>"]
    suffix_at, middle_at = row.index(SPECIAL["<|fim_suffix|>"]), row.index(SPECIAL["<|fim_middle|>"])
    decode = TOKENIZER.decode
    return decode(row[1:suffix_at]), decode(row[suffix_at:middle_at]), decode(row[middle_at:])


@example(seed=7, length=41)  # the prefix takes up nearly the whole row
@given(st.integers(0, 2**32), st.integers(40, 200))
def test_prefix_middle_and_suffix_join_to_the_text(seed: int, length: int) -> None:
    row = np.array([TOKENIZER.end_of_text, *TOKENIZER.encode(TEXT)][: length + 1], np.int64)
    text = TOKENIZER.decode(row)
    arranged = fill_in_the_middle(row, TOKENIZER, np.random.default_rng(seed)).tolist()
    assert len(arranged) == len(row)
    assume(arranged != row.tolist())  # Hypothesis fails if most rows are unchanged
    prefix, suffix, middle = split_parts(arranged)
    rebuilt = prefix + middle + suffix
    if not text.startswith(rebuilt):  # an opened line: its indentation stands on both sides
        before = prefix + middle
        indentation = before[before.rfind(b"\n") + 1 :]
        assert not indentation.strip() and suffix.startswith(b"\n" + indentation)
        rebuilt = before.removesuffix(indentation) + suffix.removeprefix(b"\n")
    # Tokens that do not fit into the row are cut only from the end of the suffix.
    assert text.startswith(rebuilt)
    assert len(rebuilt) >= len(text) - 40


def test_row_whose_prefix_is_too_long_is_unchanged() -> None:
    row = np.array([TOKENIZER.end_of_text, *TOKENIZER.encode(TEXT)][:41], np.int64)
    assert np.array_equal(fill_in_the_middle(row, TOKENIZER, np.random.default_rng(7)), row)


def test_psm_and_spm_both_occur() -> None:
    row = np.array(TOKENIZER.encode(TEXT)[:100], np.int64)
    orders = {
        int(fill_in_the_middle(row, TOKENIZER, np.random.default_rng(seed))[1]) == SPECIAL["<|fim_suffix|>"]
        for seed in range(20)
    }
    assert orders == {True, False}


def test_row_of_short_documents_is_unchanged() -> None:
    row = np.array([5, 6, TOKENIZER.end_of_text] * 20, np.int64)
    assert np.array_equal(fill_in_the_middle(row, TOKENIZER, np.random.default_rng(0)), row)


def test_only_the_longest_document_of_a_row_is_kept() -> None:
    row = np.array([9] * 10 + [TOKENIZER.end_of_text] + TOKENIZER.encode(TEXT)[:80], np.int64)
    assert 9 not in fill_in_the_middle(row, TOKENIZER, np.random.default_rng(0)).tolist()


def test_path_header_stays_at_the_start() -> None:
    header = [SPECIAL["<|file_sep|>"], *TOKENIZER.encode(b"src/unix.c\n")]
    row = np.array(header + TOKENIZER.encode(TEXT)[:100], np.int64)
    arranged = fill_in_the_middle(row, TOKENIZER, np.random.default_rng(0)).tolist()
    assert arranged[: len(header)] == header
    prefix, suffix, middle = split_parts(arranged[len(header) :])
    assert TEXT.startswith(prefix + middle + suffix)


@given(st.text("ab (\n\t)'", max_size=60), st.integers(0, 2**32))
def test_gaps_are_those_of_cursors(characters: str, seed: int) -> None:
    text, generator = characters.encode(), np.random.default_rng(seed)
    position = int(generator.integers(0, len(text) + 1))
    for kind in GAPS:
        cuts = kind(text, position, generator)
        before, middle, after = text[: cuts.first], text[cuts.first : cuts.second], cuts.inserted + text[cuts.second :]
        name = kind.__name__
        assert cuts.inserted == b"" or name == "_opened_line"
        if name == "_opened_line":
            indentation = before[before.rfind(b"\n") + 1 :]
            assert not indentation.strip(b" \t") and after.startswith(b"\n" + indentation)
            assert before.removesuffix(indentation) + after.removeprefix(b"\n") == text
        else:
            assert before + middle + after == text
        if name in ("_within_line", "_rest_of_word", "_before_closer", "_nothing"):
            assert cuts.first == position and b"\n" not in middle
        if name == "_lines":
            assert not before[before.rfind(b"\n") + 1 :].strip(b" \t") and after[:1] in (b"", b"\n")
        if name == "_rest_of_word":
            assert middle.isalnum() or not middle


def test_all_kinds_of_gaps_occur() -> None:
    row = np.array(TOKENIZER.encode(TEXT)[:100], np.int64)
    middles = {gap(TOKENIZER.decode(row), np.random.default_rng(seed))[1].count(b"\n") for seed in range(200)}
    assert {0, 1, 2, 3} <= middles
