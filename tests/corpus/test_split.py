"""The split of files into train, dev and val by the hash of the path, and the fallbacks for few files."""

import hashlib

from cllm.corpus.split import Assignment, assign, is_held_out, last_tenth, split_of

PATHS = [f"src/file_{number}.c" for number in range(2000)]


def paths_with_residue(residue: int, count: int) -> list[str]:
    found = [path for path in PATHS if int(hashlib.sha256(path.encode()).hexdigest(), 16) % 10 == residue]
    return found[:count]


def test_split_is_the_hash_of_the_path_modulo_ten() -> None:
    for path in PATHS:
        residue = int(hashlib.sha256(path.encode()).hexdigest(), 16) % 10
        assert is_held_out(path) is (residue == 0)
        assert split_of(path) == {0: "val", 1: "dev"}.get(residue, "train")
    assert 150 < sum(map(is_held_out, PATHS)) < 250
    assert is_held_out("src/uv-common.h") is is_held_out("src/uv-common.h")


def test_path_that_is_not_utf8_has_a_split() -> None:
    raw = b"caf\xe9.c"
    assert is_held_out("caf\udce9.c") is (int(hashlib.sha256(raw).hexdigest(), 16) % 10 == 0)


def test_path_keeps_its_split_when_files_are_added() -> None:
    assert assign(PATHS) == Assignment({path: split_of(path) for path in PATHS}, [])
    few = assign(PATHS[:1000]).splits
    assert few.items() <= assign(PATHS).splits.items()


def test_two_files_give_one_train_and_one_val() -> None:
    for pair in (paths_with_residue(5, 2), paths_with_residue(0, 2), paths_with_residue(1, 2)):
        splits, fallbacks = assign(pair)
        assert sorted(splits.values()) == ["train", "val"]
        assert len(fallbacks) == 1


def test_every_split_is_nonempty_for_any_hashes() -> None:
    for residue in (0, 1, 5):
        for count in (3, 10, 25):
            splits, fallbacks = assign(paths_with_residue(residue, count))
            sizes = [list(splits.values()).count(split) for split in ("train", "dev", "val")]
            assert min(sizes) >= 1 and sizes[0] > max(sizes[1:]) // 2 and fallbacks, (residue, count, sizes)


def test_assignment_does_not_depend_on_the_order() -> None:
    some = paths_with_residue(5, 12)
    assert assign(some).splits == assign(some[::-1]).splits


def test_single_file_is_assigned_to_train() -> None:
    for residue in (0, 1, 5):
        (path,) = paths_with_residue(residue, 1)
        assert assign([path]) == Assignment({path: "train"}, [])


def test_last_tenth_is_cut_at_a_line() -> None:
    content = b"".join(b"line %d\r\n" % number for number in range(25))
    cut = last_tenth(content)
    assert cut is not None and (cut.line, cut.last_line) == (24, 25)
    assert content[cut.offset :] == b"line 23\r\nline 24\r\n"
    assert last_tenth(b"one line\n") is None
    assert last_tenth(b"") is None
    assert last_tenth(b"a\nb") == (2, 2, 2)
