"""Shards on disk, and training rows as a function of seed and index."""

from pathlib import Path

import numpy as np
import pytest

from cllm.dataset import Rows, Shard, write_shard
from cllm.errors import ArtifactError

END = 0


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    documents = [[100 * d + i for i in range(1, 5 + 7 * d)] for d in range(1, 9)]
    write_shard(tmp_path, "train", documents, 4096, END)
    return Shard.open(tmp_path, "train")


def rows_of(shard: Shard, seed: int) -> Rows:
    return Rows(shard, np.arange(shard.num_documents), 8, seed, END)


def test_documents_are_read_back_with_end_of_text(shard: Shard) -> None:
    assert shard.document(0).tolist() == [101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, END]
    assert shard.num_documents == 8
    assert sum(len(shard.document(i)) for i in range(8)) == shard.num_tokens


def test_row_is_a_function_of_seed_and_index(shard: Shard) -> None:
    one, two = rows_of(shard, 3), rows_of(shard, 3)
    backwards = {index: two[index] for index in reversed(range(100))}
    assert all(np.array_equal(one[index], backwards[index]) for index in range(100))
    assert not np.array_equal(rows_of(shard, 4)[0], one[0])


def test_epoch_yields_every_token_at_most_once_and_drops_less_than_a_row(shard: Shard) -> None:
    rows = rows_of(shard, 0)
    targets = np.concatenate([rows[index][1:] for index in range(rows.rows_per_epoch)])
    tokens = targets[targets != END]
    assert len(set(tokens.tolist())) == len(tokens)
    assert len(targets) > shard.num_tokens - 8


def test_rows_are_contiguous_in_the_document_stream(shard: Shard) -> None:
    successors = {(END, int(shard.document(d)[0])) for d in range(8)}
    for d in range(8):
        ids = shard.document(d).tolist()
        successors |= set(zip(ids, ids[1:], strict=False))
    rows = rows_of(shard, 1)
    for index in range(3 * rows.rows_per_epoch):
        row = rows[index].tolist()
        assert set(zip(row, row[1:], strict=False)) <= successors


def test_row_boundaries_differ_between_epochs(shard: Shard) -> None:
    rows = rows_of(shard, 0)
    first = {tuple(rows[i]) for i in range(rows.rows_per_epoch)}
    second = {tuple(rows[i]) for i in range(rows.rows_per_epoch, 2 * rows.rows_per_epoch)}
    assert len(first & second) < rows.rows_per_epoch / 2


def test_shard_shorter_than_a_row_is_padded_with_end_of_text(tmp_path: Path) -> None:
    write_shard(tmp_path, "tiny", [[7, 8]], 4096, END)
    assert rows_of(Shard.open(tmp_path, "tiny"), 0)[5].tolist() == [END, 7, 8, END, END, END, END, END, END]


def test_ids_above_16_bits_are_stored(tmp_path: Path) -> None:
    write_shard(tmp_path, "large", [[70_000]], 100_000, END)
    assert Shard.open(tmp_path, "large").document(0).tolist() == [70_000, END]


def test_truncated_shard_raises_an_error_naming_it(tmp_path: Path, shard: Shard) -> None:
    path = tmp_path / "train.npy"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="train"):
        Shard.open(tmp_path, "train")


def test_rows_contain_only_the_given_documents(shard: Shard) -> None:
    rows = Rows(shard, np.array([2, 5]), 8, 0, END)
    seen = {token // 100 for index in range(2 * rows.rows_per_epoch) for token in rows[index].tolist() if token != END}
    assert seen == {3, 6}
