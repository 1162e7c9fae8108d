"""Read a file as UTF-8 text, or give the reason why it is skipped.

A file is opened without following links and without blocking (a FIFO cannot hang the scan), must be regular, and is
never read beyond the size limit. Then, in this order: a UTF-8, UTF-16 or UTF-32 byte order mark; a NUL in the first
8 KiB means binary (git's rule); strict UTF-8; a guess among the legacy encodings below, from at most 64 KiB of the
lines that are not ASCII, accepted only if the whole file decodes strictly and has no control characters. Line ends
become LF and a byte order mark is dropped, so that a text is the same in every form. The result is always valid UTF-8:
it has no lone surrogates.

A file that changes or vanishes while it is read is tried once more.
"""

import os
import re
import stat
from typing import NamedTuple

from charset_normalizer import from_bytes

from cllm.corpus.newlines import dominant_newline, to_lf
from cllm.corpus.text_form import BOMS, TextForm

MAX_FILE_BYTES = 1_000_000  # the longest hand-written file of the Linux kernel has 0.7 MB; longer ones are tables
NUL_WINDOW_BYTES = 8 << 10
GUESS_WINDOW_BYTES = 64 << 10
# Common before UTF-8. A guess of an 8-bit encoding is uncertain; cp1250 is left out because it wins over cp1252 on
# Western text (French `è` became `č`).
_LEGACY_ENCODINGS = ["cp1252", "cp1251", "koi8_r", "iso8859_15", "cp932", "euc_jp", "gb18030", "big5", "cp949"]
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


class Text(NamedTuple):
    """A file's text: `content` is valid UTF-8; `form` is how the file writes it."""

    content: bytes
    form: TextForm


class Skipped(Exception):
    """Raised for a file that is not read as text; `reason` is counted in the report."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_text(path: str, max_bytes: int = MAX_FILE_BYTES) -> Text:
    """Text of the file at `path`; Skipped with the reason if it has none."""
    return decode(read_bytes(path, max_bytes))


def read_bytes(path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Bytes of a regular file; Skipped if it cannot be read, or changes or vanishes in two attempts."""
    try:
        return _read_once(path, max_bytes)
    except Skipped as first:
        if first.reason not in ("vanished", "changed while it was read"):
            raise
        return _read_once(path, max_bytes)


def _read_once(path: str, max_bytes: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Skipped("vanished") from None
    except OSError:  # no permission, a link (ELOOP), a socket (ENXIO), a path that is too long
        raise Skipped("unreadable") from None
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Skipped("not a regular file")
        if before.st_size > max_bytes:
            raise Skipped("too large")
        content = _read_up_to(descriptor, before.st_size + 1)
        after = os.fstat(descriptor)
    except OSError:
        raise Skipped("unreadable") from None
    finally:
        os.close(descriptor)
    if len(content) != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise Skipped("changed while it was read")
    return content


def _read_up_to(descriptor: int, limit: int) -> bytes:
    pieces = []
    while limit > 0 and (piece := os.read(descriptor, limit)):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def decode(data: bytes) -> Text:
    """Decode `data` as text with LF.

    Skipped with reason `binary`, `unknown encoding` or `corrupt UTF-8` if it is none.
    """
    content, form = to_utf8(data)
    return Text(to_lf(content), form)


def to_utf8(data: bytes) -> Text:
    """As `decode`, but the line ends are those of `data`."""
    for bom, encoding in BOMS:
        if data.startswith(bom):
            return _text(_decode_with_bom(data[len(bom) :], encoding), encoding, has_bom=True)
    if b"\0" in data[:NUL_WINDOW_BYTES]:
        raise Skipped("binary")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return _text(*_decode_legacy(data))
    return _text(data, "utf-8")


def _text(content: bytes, encoding: str, has_bom: bool = False) -> Text:
    return Text(content, TextForm(encoding=encoding, has_bom=has_bom, newline=dominant_newline(content)))


def _decode_with_bom(data: bytes, encoding: str) -> bytes:
    try:
        content = data.decode(encoding).encode()
    except UnicodeDecodeError:
        raise Skipped("unknown encoding") from None
    if b"\0" in content[:NUL_WINDOW_BYTES]:
        raise Skipped("binary")
    return content


def _decode_legacy(data: bytes) -> tuple[bytes, str]:
    lenient = data.decode("utf-8", "replace")
    broken = lenient.count("\ufffd")
    if sum(character > "\x7f" for character in lenient) > 2 * broken:
        raise Skipped("corrupt UTF-8")
    non_ascii = b"\n".join(line for line in data.split(b"\n") if not line.isascii())
    best = from_bytes(non_ascii[:GUESS_WINDOW_BYTES], cp_isolation=_LEGACY_ENCODINGS).best()
    if best is None:
        raise Skipped("unknown encoding")
    try:
        text = data.decode(best.encoding)
        content = text.encode()
    except UnicodeError:
        raise Skipped("unknown encoding") from None
    if _CONTROLS.search(text):
        raise Skipped("binary")
    return content, best.encoding
