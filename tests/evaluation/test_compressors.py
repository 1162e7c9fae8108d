"""Compressors as baselines: compressed sizes, external commands and their errors."""

import shlex
import sys

import pytest

from cllm.errors import UsageError
from cllm.evaluation.compressors import COMPRESSORS, is_installed, parse_external, size_function

TEXT = b"int main(void) { return 0; }\n" * 400
PROGRAM = "import sys, zlib; open(sys.argv[2], 'wb').write(zlib.compress(open(sys.argv[1], 'rb').read()))"
PYTHON = shlex.join([sys.executable, "-c", PROGRAM])


@pytest.mark.parametrize("name", [*COMPRESSORS, f"zlib {PYTHON} {{in}} {{out}}"])
def test_repeated_text_adds_little_size(name: str) -> None:
    assert name not in COMPRESSORS or is_installed(name)
    size = size_function(name)
    alone, before = size(TEXT), size(TEXT[:6000])
    assert 0 < alone < len(TEXT) / 20
    assert size(TEXT[:6000] + TEXT[:3000]) - before < 0.7 * size(TEXT[:3000])


@pytest.mark.parametrize("text", ["", "name", "name gzip {in}", "name gzip {out}"])
def test_malformed_external_compressor_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="NAME COMMAND"):
        parse_external(text)


@pytest.mark.parametrize("command", ["false {in} {out}", "/nowhere/compressor {in} {out}", "true {in} {out}"])
def test_failing_external_compressor_is_named_in_the_error(command: str) -> None:
    with pytest.raises(UsageError, match=command.split()[0]):
        size_function(f"mine {command}")(TEXT)
