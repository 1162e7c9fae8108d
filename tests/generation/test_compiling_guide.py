"""The guide that compiles C with gcc: headers of the repository, rejected lines, and the fallback to syntax."""

import shutil

import pytest

from cllm.generation.guide.compiling_guide import CompilingGuide, with_brackets_closed
from cllm.syntax.compiler import Compiler, include_folders
from cllm.syntax.error_count import count_errors
from cllm.syntax.preamble import preamble

HEADERS = {
    "include/lib.h": b'#include "lib/types.h"\nint lib_open(lib_t* x);\n',
    "include/lib/types.h": b"typedef struct { int n; } lib_t;\n",
    "src/evil.h": b'#include "/etc/passwd"\n',
    "../outside.h": b"int x;\n",
}
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")


@needs_gcc
def test_only_safe_headers_of_the_repository_can_be_included() -> None:
    with Compiler(HEADERS) as compiler:
        assert compiler.compiles(b'#include "lib.h"\nint f(void) { lib_t t = {1}; return lib_open(&t); }\n').ok
        for missing in (b"evil.h", b"outside.h", b"../outside.h", b"/etc/passwd"):
            assert compiler.compiles(b'#include "' + missing + b'"\n').ok is False
        assert compiler.compiles(b"int f(void) { return lib_open(0); }\n").ok is False


@needs_gcc
def test_preamble_contains_the_includes_that_compile() -> None:
    texts = [
        b'#include "lib.h"\n#include <stdio.h>\n',
        b'#include "lib.h"\n#include "missing.h"\n',
        b"#include <errno.h>\n",
    ]
    with Compiler(HEADERS) as compiler:
        assert preamble(compiler, texts) == b'#include "lib.h"\n#include <errno.h>\n#include <stdio.h>\n'


def test_include_folders_are_the_parents_of_the_headers() -> None:
    assert include_folders(["include/lib.h", "include/lib/types.h"]) == [".", "include", "include/lib"]


@needs_gcc
def test_statements_that_do_not_compile_are_not_accepted() -> None:
    with Compiler(HEADERS) as compiler:
        guide = CompilingGuide(b"int main", b"", compiler, b'#include "lib.h"\n')
        assert guide.accepts(b"(void) {\n  lib_t t;")
        assert guide.accepts(b"(void) {\n  lib_t t;\n  lib_open(&t,")  # not the end of a statement: gcc is not run
        assert not guide.accepts(b"(void) {\n  lib_t t;\n  lib_open(&u);")
        assert not guide.accepts(b"(void) {\n  lib_close();")
        assert guide.accepts(b"(void) {\n  lib_t t;\n  return t.n;\n}")
        unreadable = CompilingGuide(b'#include "missing.h"\nint main', b"", compiler, b"")
        assert unreadable.accepts(b"(void) {\n  lib_close();")


@needs_gcc
def test_repair_falls_back_to_text_that_only_parses() -> None:
    with Compiler(HEADERS) as compiler:
        prefix, generated = b"void f", b"(int a, int a" + 30 * b",\n    int a"
        guide = CompilingGuide(prefix, b"", compiler, b"")
        for repair in (guide.repaired, guide.closed_block):
            found = repair(generated)
            assert found is not None and count_errors("C", prefix + found) == 0
            assert not compiler.compiles(prefix + found).ok


def test_braces_and_preprocessor_conditionals_are_closed() -> None:
    closed = with_brackets_closed(b"#ifdef A\nint f(void) {\n  if (1) {\n    ;")
    assert count_errors("C", closed) == 0
    assert closed.count(b"}") == 2


@needs_gcc
def test_the_final_verdict_says_what_gcc_rejects() -> None:
    with Compiler(HEADERS) as compiler:
        guide = CompilingGuide(b"int main", b"", compiler, b'#include "lib.h"\n')
        assert guide.final_verdict(b"(void) {\n  lib_t t;\n  return t.n;\n}") == (True, "")
        is_valid, reason = guide.final_verdict(b"(void) {\n  lib_close();\n}")
        assert is_valid is False and "gcc rejects" in reason
        assert guide.final_verdict(b" ")[0] is False
        unreadable = CompilingGuide(b'#include "missing.h"\nint main', b"", compiler, b"")
        is_valid, reason = unreadable.final_verdict(b"(void) {\n  return 0;\n}")
        assert is_valid is None and "before the cursor" in reason
