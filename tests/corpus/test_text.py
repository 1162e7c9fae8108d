"""Decoding of files into UTF-8, and reasons to skip a file."""

import codecs
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus import text
from cllm.corpus.text import Skipped, Text, decode, read_text
from cllm.corpus.text_form import TextForm

SENTENCE = "// Jürgen Müller aus München\nint main(void) { return 0; }\n"


def skip_reason(data: bytes) -> str:
    with pytest.raises(Skipped) as skipped:
        decode(data)
    return skipped.value.reason


@pytest.mark.parametrize(
    "content", [b"a\n\nb\n", "é\u202e\u200b🙂\n".encode(), b"", b"x", b"<|endoftext|>\n", b"\x1b[1m"]
)
def test_utf8_is_unchanged(content: bytes) -> None:
    assert decode(content) == Text(content, TextForm())


@pytest.mark.parametrize(
    ("data", "content", "newline"),
    [
        (b"a\r\nb\r\n", b"a\nb\n", b"\r\n"),
        (b"a\rb\r\rc", b"a\nb\n\nc", b"\r"),
        (b"a\r\nb\nc\r\n", b"a\nb\nc\n", b"\r\n"),
        (b"a\r\nb\n", b"a\nb\n", b"\n"),
        (b"\r\n\r\r\n\n\r\n", b"\n\n\n\n\n", b"\r\n"),
        ("größer\r\n".encode("latin-1"), "größer\n".encode(), b"\r\n"),
        (codecs.BOM_UTF16_LE + "a\r\n\u0d0a".encode("utf-16-le"), "a\n\u0d0a".encode(), b"\r\n"),
    ],
)
def test_line_ends_become_lf_and_the_form_has_the_dominant_one(data: bytes, content: bytes, newline: bytes) -> None:
    found = decode(data)
    assert (found.content, found.form.newline) == (content, newline)


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_byte_order_mark_sets_the_encoding_and_is_removed(bom: bytes, encoding: str) -> None:
    found = decode(bom + "é\r\n🙂".encode(encoding))
    assert found == Text("é\n🙂".encode(), TextForm(encoding=encoding, has_bom=True, newline=b"\r\n"))
    assert found.form.name == f"{encoding} with BOM"
    assert skip_reason(bom + b"\xd8\xff\xff") == "unknown encoding"


def test_lone_surrogates_are_rejected() -> None:
    assert skip_reason(codecs.BOM_UTF16_LE + "\ud800x".encode("utf-16-le", "surrogatepass")) == "unknown encoding"
    assert skip_reason(codecs.BOM_UTF32_LE + "\ud800x".encode("utf-32-le", "surrogatepass")) == "unknown encoding"
    decode("\ud800".encode("utf-8", "surrogatepass") * 3).content.decode()  # decodes as a legacy encoding


def test_utf8_with_one_invalid_byte_is_corrupt() -> None:
    assert skip_reason("Größe, 日本語, naïve\n".encode() * 20 + b"\xc3\n") == "corrupt UTF-8"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_western_single_byte_encodings_are_converted(encoding: str) -> None:
    assert decode(SENTENCE.encode(encoding)).content == SENTENCE.encode()
    late = "int x;\n" * 20_000 + SENTENCE  # beyond the window used for detection
    assert decode(late.encode(encoding)).content == late.encode()


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("koi8_r", "// Привет, мир! Это тест кодировки\n"),
        ("cp1251", "// Привет, мир! Это тест кодировки\n"),
        ("cp932", "// 日本語のコメント、テストの説明を書く\n"),
        ("euc_jp", "// 日本語のコメント、テストの説明を書く\n"),
        ("gb18030", "// 这是一个测试文件，用于编码检测\n"),
        ("cp949", "// 이것은 테스트 파일입니다 인코딩\n"),
    ],
)
def test_other_legacy_encodings_are_converted(encoding: str, line: str) -> None:
    written = (line + "int x;\n") * 10
    assert decode(written.encode(encoding)) == Text(written.encode(), TextForm(encoding=encoding))


def test_binary_is_skipped() -> None:
    assert skip_reason(b"\x7fELF\x02\x01\x01\x00\x00") == "binary"
    assert skip_reason(b"int x;\n" * 1000 + b"\0") == "binary"
    assert skip_reason(codecs.BOM_UTF16_LE + b"a\0\0\0") == "binary"
    assert decode(b"x" * 8192 + b"\0").form.encoding == "utf-8"  # git's rule: the first 8 KiB decide
    with pytest.raises(Skipped):
        decode(bytes(range(1, 256)) * 200)


@given(st.binary(max_size=400))
def test_any_bytes_are_decoded_or_skipped(data: bytes) -> None:
    try:
        decode(data).content.decode("utf-8")
    except Skipped as skipped:
        assert skipped.reason in ("binary", "unknown encoding", "corrupt UTF-8")


def test_huge_sparse_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.c").open("wb") as file:
        file.truncate(10 << 30)
    tracemalloc.start()
    with pytest.raises(Skipped, match="too large"):
        read_text(str(tmp_path / "huge.c"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_paths_that_are_not_regular_files_are_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name, expected in [("pipe", "not a regular file"), (".", "not a regular file"), ("link", "unreadable")]:
        with pytest.raises(Skipped, match=expected):
            read_text(str(tmp_path / name))
    with pytest.raises(Skipped, match="not a regular file"):
        read_text("/dev/zero")
    with pytest.raises(Skipped, match="unreadable"):
        read_text(str(tmp_path / ("n" * 300)))


@pytest.mark.parametrize(("failures", "is_read"), [(1, True), (2, False)])
def test_file_that_changes_while_it_is_read_is_retried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, is_read: bool
) -> None:
    path = tmp_path / "a.c"
    path.write_bytes(b"int x;\n")
    original, left = text._read_up_to, [failures]

    def read_and_append(descriptor: int, limit: int) -> bytes:
        content = original(descriptor, limit)
        if left[0]:
            left[0] -= 1
            path.write_bytes(path.read_bytes() + b"// more\n")
        return content

    monkeypatch.setattr(text, "_read_up_to", read_and_append)
    if is_read:
        assert read_text(str(path)).content == b"int x;\n// more\n"
    else:
        with pytest.raises(Skipped, match="changed while it was read"):
            read_text(str(path))


def test_missing_file_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(Skipped, match="vanished"):
        read_text(str(tmp_path / "gone.c"))
