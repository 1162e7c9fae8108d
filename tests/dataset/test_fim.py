"""Fill-in-the-middle: the rearranged row contains the text, and rows that stay unchanged."""

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cllm.dataset.fim import fill_in_the_middle
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


@example(seed=6910, length=40)  # the prefix takes up nearly the whole row
@given(st.integers(0, 2**32), st.integers(40, 200))
def test_prefix_middle_and_suffix_join_to_the_text(seed: int, length: int) -> None:
    row = np.array([TOKENIZER.end_of_text, *TOKENIZER.encode(TEXT)][: length + 1], np.int64)
    text = TOKENIZER.decode(row)
    arranged = fill_in_the_middle(row, TOKENIZER, np.random.default_rng(seed)).tolist()
    assert len(arranged) == len(row)
    assume(arranged != row.tolist())  # Hypothesis fails if most rows are unchanged
    prefix, suffix, middle = split_parts(arranged)
    rebuilt = prefix + middle + suffix
    # Tokens that do not fit into the row are cut only from the end of the suffix.
    assert text.startswith(rebuilt)
    assert len(rebuilt) >= len(text) - 40


def test_row_whose_prefix_is_too_long_is_unchanged() -> None:
    row = np.array([TOKENIZER.end_of_text, *TOKENIZER.encode(TEXT)][:41], np.int64)
    assert np.array_equal(fill_in_the_middle(row, TOKENIZER, np.random.default_rng(6910)), row)


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
