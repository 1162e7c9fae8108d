"""git's index: the versions that git writes, split indexes, and damaged files."""

import hashlib
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm.git.ewah import MalformedBitmap, decode_bitmap
from cllm.git.index import MAX_NAME_BYTES, MalformedIndex, TrackedPaths, tracked_paths
from cllm.git.repository import Repository

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git writes the index")
FILE, LINK, SUBMODULE, DIRECTORY = 0o100644, 0o120000, 0o160000, 0o040000
Entries = list[tuple[bytes, int]]
NAMES = st.binary(min_size=1, max_size=20).map(lambda name: name.replace(b"\0", b"/"))


def git(folder: Path, *words: str) -> bytes:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *words], cwd=folder, check=True, capture_output=True, timeout=60
    )
    return done.stdout


def index_bytes(entries: Entries, version: int = 2, extensions: bytes = b"", hash_name: str = "sha1") -> bytes:
    """An index as its format is specified; version 3 gives every entry the extended flags."""
    content, previous = struct.pack(">4sII", b"DIRC", version, len(entries)), b""
    for name, mode in entries:
        flags = min(len(name), 0xFFF) | (0x4000 if version == 3 else 0)
        entry = bytes(24) + struct.pack(">I", mode) + bytes(12 + hashlib.new(hash_name).digest_size)
        entry += struct.pack(">H", flags) + (bytes(2) if version == 3 else b"")
        if version == 4:
            same = 0
            while same < min(len(name), len(previous)) and name[same] == previous[same]:
                same += 1
            content += entry + varint(len(previous) - same) + name[same:] + b"\0"
        else:
            entry += name
            content += entry + bytes(8 - len(entry) % 8)
        previous = name
    content += extensions
    return content + hashlib.new(hash_name, content).digest()


def varint(value: int) -> bytes:
    """A number as git stores offsets: the first byte is the highest, each further one is one less."""
    found = bytes([value & 127])
    while value := value >> 7:
        value -= 1
        found = bytes([128 | value & 127]) + found
    return found


def extension(name: bytes, data: bytes) -> bytes:
    return name + struct.pack(">I", len(data)) + data


def bitmap(positions: set[int], ones: int = 0) -> bytes:
    """A compressed bitmap of `ones` words of ones, then the positions in literal words."""
    words = 1 + max(positions, default=-1) // 64 if positions else 0
    literals = [sum(1 << bit for bit in range(64) if 64 * word + bit in positions) for word in range(words)]
    marker = (1 if ones else 0) | ones << 1 | len(literals) << 33
    content = struct.pack(f">II{2 + len(literals) - 1}Q", 64 * (ones + words), 1 + len(literals), marker, *literals)
    return content + bytes(4)


def read(git_directory: Path, content: bytes, hash_name: str = "sha1") -> TrackedPaths | None:
    (git_directory / "index").write_bytes(content)
    return tracked_paths(Repository(git_directory.parent, git_directory, git_directory), hash_name)


@given(
    names=st.lists(NAMES, unique=True),
    version=st.sampled_from([2, 3, 4]),
    hash_name=st.sampled_from(["sha1", "sha256"]),
)
def test_names_of_every_version(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes], version: int, hash_name: str
) -> None:
    modes = random.Random(len(names)).choices([FILE, LINK, SUBMODULE, DIRECTORY], k=len(names))
    entries = list(zip(names, modes, strict=True))
    content = index_bytes(entries, version, extension(b"TREE", b"x") + extension(b"sdir", b""), hash_name)
    found = read(tmp_path_factory.mktemp("git"), content, hash_name)
    assert found is not None
    assert found.files == {name for name, mode in entries if mode in (FILE, LINK)}
    assert found.submodules == {name for name, mode in entries if mode == SUBMODULE}


def test_long_names_and_an_empty_index(git_directory: Path) -> None:
    names: Entries = [(b"d" * size, FILE) for size in (0xFFE, 0xFFF, MAX_NAME_BYTES)]
    for version in (2, 3, 4):
        found = read(git_directory, index_bytes(names, version))
        assert found is not None and found.files == {name for name, _ in names}
    assert read(git_directory, index_bytes([])) == (frozenset(), frozenset())
    (git_directory / "index").unlink()
    assert tracked_paths(Repository(git_directory.parent, git_directory, git_directory), "sha1") is None


def test_split_index_deletes_replaces_and_adds(git_directory: Path) -> None:
    shared = index_bytes([(b"a", FILE), (b"b", FILE), (b"c", FILE)])
    (git_directory / f"sharedindex.{shared[-20:].hex()}").write_bytes(shared)
    link = extension(b"link", shared[-20:] + bitmap({0}) + bitmap({2}))
    own: Entries = [(b"", SUBMODULE), (b"d", FILE)]
    assert read(git_directory, index_bytes(own, extensions=link)) == ({b"b", b"d"}, {b"c"})
    alone = extension(b"link", bytes(20) + bitmap(set()) + bitmap(set()))
    assert read(git_directory, index_bytes([(b"d", FILE)], extensions=alone)) == ({b"d"}, frozenset())
    for positions in (bitmap({3}) + bitmap(set()), bitmap(set()) + bitmap({3}), bitmap(set()) + bitmap({0, 1})):
        with pytest.raises(MalformedIndex, match="its other part does not have"):
            read(git_directory, index_bytes(own, extensions=extension(b"link", shared[-20:] + positions)))
    (git_directory / f"sharedindex.{shared[-20:].hex()}").unlink()
    with pytest.raises(MalformedIndex, match=r"its other part, sharedindex\.\w+, cannot be read"):
        read(git_directory, index_bytes(own, extensions=link))


@needs_git
@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
def test_index_that_git_writes(tmp_path: Path, hash_name: str) -> None:
    git(tmp_path, "init", "-q", f"--object-format={hash_name}", ".")
    names = [f"{number % 7}/{number:03}.c" for number in range(200)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n")
    git(tmp_path, "add", *names[:150])
    repository = Repository(tmp_path, tmp_path / ".git", tmp_path / ".git")
    for words in (("--index-version", "4"), ("--index-version", "2"), ("--split-index",)):
        git(tmp_path, "update-index", *words)
        assert tracked_paths(repository, hash_name) == ({name.encode() for name in names[:150]}, frozenset())
    git(tmp_path, "rm", "-q", "--cached", *names[20:110])
    git(tmp_path, "add", *names[150:])
    (tmp_path / names[0]).write_text("changed\n")
    git(tmp_path, "add", names[0])
    expected = {name.encode() for name in names[:20] + names[110:]}
    assert b"link" in (tmp_path / ".git" / "index").read_bytes()
    assert tracked_paths(repository, hash_name) == (expected, frozenset())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"DIRC" + bytes(40), "version 0"),
        (b"XXXX" + bytes(40), "does not begin"),
        (index_bytes([(b"a", FILE)])[:-1] + b"x", "checksum"),
        (index_bytes([(b"a", FILE)], extensions=extension(b"what", b"")), "extension 'what'"),
        (index_bytes([(b"a", FILE)], extensions=b"TREE\0\0\1\0"), "truncated"),
        (index_bytes([(b"a", FILE)], extensions=extension(b"link", b"x")), "truncated"),
        (index_bytes([(b"d" * (MAX_NAME_BYTES + 1), FILE)]), "name of an entry"),
    ],
)
def test_damaged_index_is_one_clause(git_directory: Path, content: bytes, message: str) -> None:
    with pytest.raises(MalformedIndex, match=message):
        read(git_directory, content)


def test_index_without_a_checksum_is_read(git_directory: Path) -> None:
    assert read(git_directory, index_bytes([(b"a", FILE)])[:-20] + bytes(20)) == ({b"a"}, frozenset())


def test_index_that_is_no_file_is_malformed(git_directory: Path) -> None:
    (git_directory / "index").mkdir()
    with pytest.raises(MalformedIndex, match="cannot be read"):
        tracked_paths(Repository(git_directory.parent, git_directory, git_directory), "sha1")


@settings(max_examples=300)
@given(data=st.data(), version=st.sampled_from([2, 3, 4]))
def test_changed_bytes_give_names_or_malformed_index(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, version: int
) -> None:
    link = extension(b"link", bytes(20) + bitmap({1, 70}) + bitmap({2}))
    body = bytearray(index_bytes([(b"a/b", FILE), (b"a/c", FILE), (b"d", LINK)], version, link)[:-20])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(4, len(body) - 1))] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(12, 2 * len(body))) :]
    try:
        found = read(tmp_path_factory.mktemp("git"), bytes(body) + hashlib.sha1(body).digest())
    except MalformedIndex:
        return
    assert isinstance(found, TrackedPaths)


@given(positions=st.sets(st.integers(0, 400)), ones=st.integers(0, 3))
def test_bitmap_is_decoded(positions: set[int], ones: int) -> None:
    content = bitmap(positions, ones)
    expected = [*range(64 * ones), *(64 * ones + position for position in sorted(positions))]
    assert decode_bitmap(b"xx" + content + b"yy", 2) == (expected, 2 + len(content))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_bitmap_or_malformed(data: bytes) -> None:
    try:
        positions, end = decode_bitmap(data, 0)
    except (MalformedBitmap, struct.error):
        return
    assert end <= len(data) + 4 and positions == sorted(positions)
