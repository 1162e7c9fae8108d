"""The paths in git's index, the list of tracked files (gitformat-index(5)): versions 2, 3 and 4, split and sparse.

The file is verified by its checksum, as far as it has one (`index.skipHash`), and parsed with bounds on every length.
A split index keeps most entries in a second file, from which it deletes some and to which it adds others. The
directories that a sparse index has instead of their files are left out: their files are not checked out.
"""

import hashlib
import struct
from typing import NamedTuple

from cllm.git.ewah import MalformedBitmap, decode_bitmap
from cllm.git.regular_file import read_regular_file
from cllm.git.repository import Repository

MAX_INDEX_BYTES = 1 << 28  # the Linux kernel's, of 85,000 files, has 9 MB
MAX_NAME_BYTES = 4096  # the system's limit of a path
MAX_NAMES_BYTES = 1 << 28  # in all: version 4 stores only the end of a name that begins like the one before
_REGULAR, _LINK, _SUBMODULE = 0o10, 0o12, 0o16  # the upper four of the mode's 16 bits


class MalformedIndex(Exception):
    """Raised for an index that git would refuse; the text says why."""


class TrackedPaths(NamedTuple):
    """Paths relative to the work tree: of files and symbolic links, and of submodules."""

    files: frozenset[bytes]
    submodules: frozenset[bytes]


class _Entry(NamedTuple):
    name: bytes  # empty in a split index if it replaces an entry of the shared one
    kind: int  # the upper four bits of its mode


class _Link(NamedTuple):
    """The extension of a split index."""

    shared_id: bytes
    deleted: list[int]  # positions in the shared index, from 0
    replaced: list[int]


class _Index(NamedTuple):
    entries: list[_Entry]
    link: _Link | None


def tracked_paths(repository: Repository, hash_name: str) -> TrackedPaths | None:
    """The tracked paths of a work tree, None if nothing was ever added; `hash_name` is "sha1" or "sha256".

    MalformedIndex: the file is damaged, of a newer version, or too large.
    """
    content = read_regular_file(repository.git_directory / "index", MAX_INDEX_BYTES + 1)
    if content is None:
        if (repository.git_directory / "index").exists():
            raise MalformedIndex("it cannot be read")
        return None
    index = _parse(content, hash_name)
    entries = index.entries
    if index.link is not None and any(index.link.shared_id):
        entries = _merge(_shared_entries(repository, index.link, hash_name), entries, index.link)
    return TrackedPaths(
        frozenset(entry.name for entry in entries if entry.kind in (_REGULAR, _LINK)),
        frozenset(entry.name for entry in entries if entry.kind == _SUBMODULE),
    )


def _parse(content: bytes, hash_name: str) -> _Index:
    hash_bytes = hashlib.new(hash_name).digest_size
    if len(content) > MAX_INDEX_BYTES:
        raise MalformedIndex(f"it is larger than {MAX_INDEX_BYTES:,} bytes")
    if len(content) < 12 + hash_bytes:
        raise MalformedIndex("it is truncated")
    signature, version, count = struct.unpack_from(">4sII", content)
    if signature != b"DIRC":
        raise MalformedIndex("it does not begin like an index")
    if version not in (2, 3, 4):
        raise MalformedIndex(f"it is of version {version}, and 2 to 4 are known")
    body, checksum = content[:-hash_bytes], content[-hash_bytes:]
    if any(checksum) and hashlib.new(hash_name, body).digest() != checksum:
        raise MalformedIndex("its checksum is wrong")
    try:
        entries, end = _parse_entries(body, version, count, hash_bytes)
        return _Index(entries, _parse_extensions(body, end, hash_bytes))
    except (struct.error, IndexError, MalformedBitmap):
        raise MalformedIndex("it is truncated") from None


def _parse_entries(body: bytes, version: int, count: int, hash_bytes: int) -> tuple[list[_Entry], int]:
    """The entries, and the offset of what follows them."""
    entries: list[_Entry] = []
    at, previous, size = 12, b"", 0
    for _ in range(count):
        begin = at
        (mode,) = struct.unpack_from(">I", body, at + 24)
        (flags,) = struct.unpack_from(">H", body, at + 40 + hash_bytes)
        at += 42 + hash_bytes + (2 if flags & 0x4000 else 0)
        kept = 0
        if version == 4:
            removed, at = _varint(body, at)
            kept = len(previous) - removed
        end = body.find(b"\0", at)
        if kept < 0 or end < 0 or kept + end - at > MAX_NAME_BYTES:
            raise MalformedIndex("the name of an entry is not valid")
        previous = previous[:kept] + body[at:end]
        size += len(previous)
        if size > MAX_NAMES_BYTES:
            raise MalformedIndex(f"its names have more than {MAX_NAMES_BYTES:,} bytes")
        entries.append(_Entry(previous, mode >> 12))
        at = end + 1 if version == 4 else begin + (end - begin + 8) // 8 * 8  # padded with one to eight NULs
    return entries, at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, seven bits a byte, and the offset of its end."""
    value = body[at] & 127
    while body[at] & 128:
        at += 1
        value = ((value + 1) << 7) | (body[at] & 127)
        if value > MAX_NAMES_BYTES:
            raise MalformedIndex("the name of an entry is not valid")
    return value, at + 1


def _parse_extensions(body: bytes, at: int, hash_bytes: int) -> _Link | None:
    """The link of a split index, if there is one. Extensions whose names begin in lower case must be understood."""
    link = None
    while at < len(body):
        name, size = struct.unpack_from(">4sI", body, at)
        data = body[at + 8 : at + 8 + size]
        if len(data) != size:
            raise MalformedIndex("it is truncated")
        if name == b"link":
            link = _parse_link(data, hash_bytes)
        elif name != b"sdir" and not 65 <= name[0] <= 90:
            raise MalformedIndex(f"it has an extension {name.decode('latin-1')!r} that is not known")
        at += 8 + size
    return link


def _parse_link(data: bytes, hash_bytes: int) -> _Link:
    if len(data) < hash_bytes:
        raise MalformedIndex("it is truncated")
    if len(data) == hash_bytes:
        return _Link(data, [], [])
    deleted, at = decode_bitmap(data, hash_bytes)
    replaced, _ = decode_bitmap(data, at)
    return _Link(data[:hash_bytes], deleted, replaced)


def _shared_entries(repository: Repository, link: _Link, hash_name: str) -> list[_Entry]:
    name = f"sharedindex.{link.shared_id.hex()}"
    content = read_regular_file(repository.git_directory / name, MAX_INDEX_BYTES + 1)
    if content is None:
        raise MalformedIndex(f"its other part, {name}, cannot be read")
    return _parse(content, hash_name).entries


def _merge(shared: list[_Entry], own: list[_Entry], link: _Link) -> list[_Entry]:
    """The entries of a split index: the shared ones, without the deleted ones and with the own ones."""
    merged: list[_Entry | None] = list(shared)
    replacements = iter([entry for entry in own if not entry.name])
    for position in link.replaced:
        if position >= len(shared) or (new := next(replacements, None)) is None:
            raise MalformedIndex("it replaces an entry that its other part does not have")
        merged[position] = new._replace(name=shared[position].name)
    for position in link.deleted:
        if position >= len(shared):
            raise MalformedIndex("it deletes an entry that its other part does not have")
        merged[position] = None
    return [*(entry for entry in merged if entry is not None), *(entry for entry in own if entry.name)]
