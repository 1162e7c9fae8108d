"""Detection of a file's language from its name or shebang line."""

import pytest

from cllm.corpus.languages import kind_of, language_of


@pytest.mark.parametrize(
    ("path", "content", "language"),
    [
        ("src/a.c", b"", "C"),
        ("include/a.H", b"", "C"),
        ("a/b.test.tsx", b"", "TypeScript"),
        ("CMakeLists.txt", b"", "CMake"),
        ("docs/Makefile", b"", "Make"),
        (".gitignore", b"", "Text"),
        (".bashrc", b"", "Shell"),
        ("notes.unknown", b"", "Text"),
        ("c", b"", "Text"),
        ("README.md", b"", "Markdown"),
        ("guide.rst", b"", "reStructuredText"),
        ("tool", b"#!/usr/bin/env python3.11\n", "Python"),
        ("tool", b"#!/usr/bin/env -S node --no-warnings\n", "JavaScript"),
        ("tool", b"#! /bin/sh -e\n", "Shell"),
        ("tool", b"#!/usr/bin/unknown\n", "Text"),
        ("tool", b"#!\n", "Text"),
        ("tool", b"#!\xff\xfe\n", "Text"),
        ("tool.py", b"#!/bin/sh\n", "Python"),
    ],
)
def test_language_is_detected_by_name_then_by_shebang(path: str, content: bytes, language: str) -> None:
    assert language_of(path, content) == language


def test_kind_of_some_languages() -> None:
    assert (kind_of("C"), kind_of("Markdown"), kind_of("JSON"), kind_of("Text")) == ("code", "prose", "data", "prose")
