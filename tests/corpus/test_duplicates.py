"""Exact and near duplicates between held-out and training files."""

import random

from cllm.corpus.duplicates import NEAR_DUPLICATE_THRESHOLD, near_duplicates, representative
from cllm.corpus.split import split_of

PATHS = [f"src/file_{number}.c" for number in range(200)]
TRAIN = [path for path in PATHS if split_of(path) == "train"]
DEV = [path for path in PATHS if split_of(path) == "dev"]
VAL = [path for path in PATHS if split_of(path) == "val"]


def lines(seed: int, count: int = 100) -> list[bytes]:
    rng = random.Random(seed)
    return [b"    call_%d(argument_%d);\n" % (rng.randrange(10**6), rng.randrange(10**6)) for _ in range(count)]


def mixed(shared: int, seed: int) -> bytes:
    """A text of 100 lines, the first `shared` of them those of seed 0."""
    return b"".join(lines(0)[:shared] + lines(seed)[shared:])


def test_representative_prefers_train_then_dev_then_val() -> None:
    assert representative([VAL[0], TRAIN[0]]) == TRAIN[0]
    assert representative([DEV[0], VAL[0]]) == DEV[0]
    assert representative([DEV[0], TRAIN[1]]) == TRAIN[1]
    assert representative([VAL[1], VAL[0]]) == min(VAL[:2])


def test_near_duplicate_names_the_most_similar_train_file() -> None:
    held_out = [("val.c", b"".join(lines(0))), ("other.c", b"".join(lines(9)))]
    train = [("far.c", mixed(40, 1)), ("near.c", mixed(90, 2)), ("nearer.c", mixed(97, 3))]
    found = near_duplicates(held_out, train)
    assert list(found) == ["val.c"]
    assert found["val.c"].path == "nearer.c" and found["val.c"].similarity >= 0.9


def test_similarity_below_the_threshold_is_not_flagged() -> None:
    train = [(f"{shared}.c", mixed(shared, 100 + shared)) for shared in range(0, 60, 5)]
    assert near_duplicates([("val.c", b"".join(lines(0)))], train) == {}


def test_indentation_and_line_ends_are_ignored() -> None:
    text = b"".join(lines(0))
    found = near_duplicates([("val.c", text.replace(b"\n", b"\r\n"))], [("train.c", text.replace(b"    ", b"\t"))])
    assert found["val.c"].similarity == 1.0


def test_flagged_pairs_agree_with_the_exact_similarity() -> None:
    texts = [mixed(shared, 50 + shared) for shared in range(0, 101, 4)]
    exact = []
    for text in texts:
        lines_of_text, lines_of_val = set(text.splitlines()), set(b"".join(lines(0)).splitlines())
        exact.append(len(lines_of_text & lines_of_val) / len(lines_of_text | lines_of_val))
    for text, similarity in zip(texts, exact, strict=True):
        flagged = bool(near_duplicates([("val.c", b"".join(lines(0)))], [("train.c", text)]))
        if abs(similarity - NEAR_DUPLICATE_THRESHOLD) > 0.1:  # more than three standard errors
            assert flagged is (similarity > NEAR_DUPLICATE_THRESHOLD), similarity


def test_near_duplicates_are_deterministic_and_empty_for_empty_input() -> None:
    held_out = [(f"val_{number}.c", mixed(100 - number, number)) for number in range(1, 20)]
    train = [(f"train_{number}.c", mixed(100 - number, 100 + number)) for number in range(1, 20)]
    assert near_duplicates(held_out, train) == near_duplicates(held_out, train)
    assert near_duplicates([], train) == near_duplicates(held_out, []) == {}
