"""Filters for directories, file names and contents that are not trained on."""

import base64
import random

import pytest

from cllm.corpus.filters import directory_skip_reason, name_skip_reason, text_skip_reason

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0f" * 32 + b"\nsize 90405214\n"
SOURCE = b"/* Adds. */\nint add(int left, int right) {\n    return left + right;\n}\n" * 100


@pytest.mark.parametrize("path", ["node_modules", "web/node_modules", "Vendor", "lib/third_party", "a/__pycache__"])
def test_vendored_directories_are_skipped(path: str) -> None:
    assert directory_skip_reason(path) == "vendored or installed"


@pytest.mark.parametrize("path", ["src", "vendors", "lib", "build", "deps", "external", "tests/fixtures"])
def test_ordinary_directories_are_not_skipped(path: str) -> None:
    assert directory_skip_reason(path) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("package-lock.json", "lock file"),
        ("rust/Cargo.lock", "lock file"),
        ("go.sum", "lock file"),
        ("web/jquery.min.js", "minified"),
        ("web/app-min.css", "minified"),
        ("logo.svg", "data"),
        ("data/points.csv", "data"),
        ("app.js.map", "data"),
        ("src/min.js", None),
        ("src/lock.c", None),
        ("src/admin.js", None),
        ("package.json", None),
        ("docs/index.rst", None),
        ("notes.txt", None),
    ],
)
def test_skip_reason_by_file_name(path: str, reason: str | None) -> None:
    assert name_skip_reason(path) == reason


def test_source_and_prose_are_not_skipped() -> None:
    paragraph = b"A paragraph of prose stands on one line, however long it becomes. " * 20 + b"\n\n"
    assert text_skip_reason(SOURCE, "C") is None
    assert text_skip_reason(paragraph * 10, "Markdown") is None
    assert text_skip_reason(b"x", "Text") is None
    assert text_skip_reason(b'{"name": "thing"}\n' * 50, "JSON") is None


def test_empty_files_are_skipped() -> None:
    assert text_skip_reason(b"", "Python") == text_skip_reason(b" \n\t\r\n", "Python") == "empty"


def test_minified_code_is_skipped() -> None:
    assert text_skip_reason(b"function f(a,b){return a+b};" * 200_000, "JavaScript") == "minified"
    # Short files are never classified as minified.
    assert text_skip_reason(b"function f(a,b){return a+b};" * 20, "JavaScript") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LFS_POINTER, "Git LFS pointer"),
        (LFS_POINTER.replace(b"\n", b"\r\n"), "Git LFS pointer"),
        (LFS_POINTER.replace(b"oid", b"ext-0-foo sha256:0\noid"), "Git LFS pointer"),
        (LFS_POINTER.replace(b"git-lfs.github.com/spec/v1", b"hawser.github.com/spec/v1"), "Git LFS pointer"),
        (b"/annex/objects/SHA256E-s10--0123.bin\n", "git-annex pointer"),
        (b"A pointer begins like this:\n\n" + LFS_POINTER, None),
        (LFS_POINTER + b"\nThe file above is a pointer. " * 50, None),
        (b"version https://git-lfs.github.com/spec/v1\n", None),
    ],
)
def test_pointer_to_a_file_that_is_not_there_has_its_own_reason(content: bytes, reason: str | None) -> None:
    """aboutcode-org/scancode-toolkit#4158."""
    assert text_skip_reason(content, "Text") == reason


def test_tables_of_data_are_skipped() -> None:
    rng = random.Random(1)
    digits = "\n".join(", ".join(str(rng.randrange(10**6)) for _ in range(10)) for _ in range(500)).encode()
    hexadecimal = "\n".join(" ".join(f"0x{rng.randrange(256):02x}," for _ in range(12)) for _ in range(500)).encode()
    encoded = base64.encodebytes(rng.randbytes(20_000))
    for table in (digits, hexadecimal, encoded):
        assert text_skip_reason(b"static const char data[] = {\n" + table + b"};\n", "C") == "data"
    assert text_skip_reason(b'{"key": ["value"]}\n' * 10_000, "JSON") == "data"
