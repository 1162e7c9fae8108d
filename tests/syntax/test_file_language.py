"""The language of a file: headers of C and C++, and scripts without an extension."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.syntax.file_language import language_at_cursor, language_of_file

WIDGET = b"#pragma once\n#include <string>\n\nnamespace app {\n\nclass Widget {\n public:\n  explicit Widget(int n);\n"
PLAIN = b"#ifndef PLAIN_H\n#define PLAIN_H\n\nstruct plain {\n    int class;\n};\n\n#endif\n"
GUARDED = b'#ifdef __cplusplus\nextern "C" {\n#endif\n/* class A::b */\nint f(void);\n#ifdef __cplusplus\n}\n#endif\n'


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("a/widget.h", WIDGET, "C++"),
        ("plain.h", PLAIN, "C"),
        ("guarded.h", GUARDED, "C"),
        ("empty.h", b"", "C"),
        ("a.c", WIDGET, "C"),
        ("a.py", b"#!/bin/sh\n", "Python"),
        ("tool", b"#!/usr/bin/env python3\n", "Python"),
        ("hooks/pre-commit", b"#!/bin/sh\nexit 0\n", "Shell"),
        ("run", b"#!/usr/bin/env -S node --no-warnings\n", "JavaScript"),
        ("old", b"#!/usr/bin/perl\n", None),
        ("prompt", b"#!/usr/bin/fish\n", None),
        ("notes", b"#!\n", None),
        ("notes.txt", b"#!/bin/sh\n", None),
        ("cython.pyx", b"#!/usr/bin/env python3\n", None),
    ],
)
def test_examples(path: str, text: bytes, language: str | None) -> None:
    assert language_of_file(path, text) == language


def test_a_repository_of_cpp_decides_for_headers_that_are_right_in_both() -> None:
    assert language_of_file("a.h", b"int f(int x);\n", "C++") == "C++"
    assert language_of_file("a.h", WIDGET, "C++") == "C++"


def test_the_unfinished_line_does_not_decide() -> None:
    begin = PLAIN.index(b"int class") + len(b"int class;\n")
    for typed in (b"", b"  int a", b"  int other[", b"  x::y("):
        assert language_at_cursor("plain.h", PLAIN[:begin] + typed, PLAIN[begin:]) == "C"
    assert language_at_cursor("widget.h", WIDGET + b"  virtual vo", b"\n};\n}\n") == "C++"
    assert language_at_cursor("tool", b"#!/bin/sh", b"\n") == "Shell"


@given(st.binary(max_size=200))
def test_any_bytes_have_a_language(text: bytes) -> None:
    assert language_of_file("a.h", text) in ("C", "C++")
    assert language_of_file("a", text) in (None, "JavaScript", "Python", "Shell")
