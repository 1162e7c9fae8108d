import hashlib

from cllm.corpus.split import Assignment, assign, is_held_out, last_tenth, split_of

MANY = [f"src/file_{number}.c" for number in range(2000)]


def with_residue(residue: int, count: int) -> list[str]:
    found = [path for path in MANY if int(hashlib.sha256(path.encode()).hexdigest(), 16) % 10 == residue]
    return found[:count]


def test_a_tenth_is_held_out_by_the_hash_of_the_path() -> None:
    for path in MANY:
        residue = int(hashlib.sha256(path.encode()).hexdigest(), 16) % 10
        assert is_held_out(path) is (residue == 0)
        assert split_of(path) == {0: "val", 1: "dev"}.get(residue, "train")
    assert 150 < sum(map(is_held_out, MANY)) < 250
    assert is_held_out("src/uv-common.h") is is_held_out("src/uv-common.h")


def test_a_path_that_is_not_utf8_has_a_split() -> None:
    raw = b"caf\xe9.c"
    assert is_held_out("caf\udce9.c") is (int(hashlib.sha256(raw).hexdigest(), 16) % 10 == 0)


def test_a_path_keeps_its_side_when_others_come() -> None:
    assert assign(MANY) == Assignment({path: split_of(path) for path in MANY}, [])
    few = assign(MANY[:1000]).splits
    assert few.items() <= assign(MANY).splits.items()


def test_two_files_are_one_to_learn_and_one_to_hold_out() -> None:
    for pair in (with_residue(5, 2), with_residue(0, 2), with_residue(1, 2)):
        splits, fallbacks = assign(pair)
        assert sorted(splits.values()) == ["train", "val"]
        assert len(fallbacks) == 1


def test_something_is_held_out_and_something_set_aside_whatever_the_hashes() -> None:
    for residue in (0, 1, 5):
        for count in (3, 10, 25):
            splits, fallbacks = assign(with_residue(residue, count))
            sizes = [list(splits.values()).count(split) for split in ("train", "dev", "val")]
            assert min(sizes) >= 1 and sizes[0] > max(sizes[1:]) // 2 and fallbacks, (residue, count, sizes)


def test_order_does_not_matter() -> None:
    some = with_residue(5, 12)
    assert assign(some).splits == assign(some[::-1]).splits


def test_a_single_file_is_never_held_out_whole() -> None:
    for residue in (0, 1, 5):
        (path,) = with_residue(residue, 1)
        assert assign([path]) == Assignment({path: "train"}, [])


def test_the_last_tenth_is_cut_at_a_line() -> None:
    content = b"".join(b"line %d\r\n" % number for number in range(25))
    cut = last_tenth(content)
    assert cut is not None and (cut.line, cut.last_line) == (24, 25)
    assert content[cut.offset :] == b"line 23\r\nline 24\r\n"
    assert last_tenth(b"one line\n") is None
    assert last_tenth(b"") is None
    assert last_tenth(b"a\nb") == (2, 2, 2)
