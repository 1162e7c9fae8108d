"""Filters for text that is not worth training on: vendored, generated or minified code, and tables of data.

Three checks, the cheapest first: a directory's name before it is entered, a file's name, its text. Each rule has a
named reason, which is counted in the report. The rules prefer to keep a file: training on a vendored copy costs a
little time, while a source file that is skipped is missing from the model.

Lines that are too long to be hand-written are left out of a file that is kept. Not covered: judging quality.
"""

import re
from typing import NamedTuple

from cllm.corpus.generated import is_generated
from cllm.corpus.languages import kind_of
from cllm.corpus.long_lines import ShortenedText, without_long_lines

_VENDORED = """
    node_modules bower_components jspm_packages vendor vendored _vendor third_party third-party thirdparty 3rdparty
    site-packages dist-packages __pycache__ .venv .tox .nox .eggs .gradle pods carthage .yarn .terraform
"""
_LOCK_FILES = """
    package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock deno.lock cargo.lock poetry.lock uv.lock
    pdm.lock pixi.lock pipfile.lock composer.lock gemfile.lock podfile.lock pubspec.lock mix.lock flake.lock go.sum
    gradle.lockfile packages.lock.json package.resolved conda-lock.yml module.bazel.lock .terraform.lock.hcl
"""
_DATA_SUFFIXES = """
    .svg .csv .tsv .map .ipynb .geojson .snap .drawio .excalidraw .obj .stl .ply .gltf .pgm .ppm .xpm .eps .ps
    .lst .log .pem .crt .cer .asc .sum .wkt .fasta .fastq .hex .srec .mps .b64
"""
_VENDORED_NAMES = frozenset(_VENDORED.split())
_LOCK_FILE_NAMES = frozenset(_LOCK_FILES.split())
_DATA_FILE_SUFFIXES = frozenset(_DATA_SUFFIXES.split())
_MINIFIED = re.compile(r"[.-]min\.(?:js|mjs|css)$|\.(?:bundle|chunk)\.(?:js|css)$")

# What stands in a work tree for a file that was not fetched: the only text of its kind is a hash.
_LFS = rb"version https?://(?:git-lfs\.github\.com|hawser\.github\.com|git-media\.io)/[^\n]*\n(?:[\s\S]*\n)?oid "
_POINTER = re.compile(rb"(" + _LFS + rb")|/annex/objects/")
MAX_POINTER_BYTES = 1024  # by the specification of Git LFS
LARGE_DATA_BYTES = 100_000  # JSON, XML, YAML ...: configuration is shorter
TABLE_BYTES = 4_000
# Of the bytes that are not blank. Numerical code reaches 0.53 (torch's igamma.h), three's tables have 0.69 and 0.72.
TABLE_SHARE = 0.6
_BLANK = b" \t\r\n\f\v"
_DIGITS = b"0123456789"
_HEX_NUMBER = re.compile(rb"0[xX][0-9A-Fa-f]+|\\x[0-9A-Fa-f]{2}")
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/]{60,}")
_MIN_BASE64_NON_BLANK = 0.85  # indented base64 has at most 15% blanks; code has 20% and more


class FilteredText(NamedTuple):
    """The reason to skip a file, or None and its text without long lines."""

    reason: str | None
    text: ShortenedText = ShortenedText(b"", 0, 0)


def directory_skip_reason(path: str) -> str | None:
    """Reason to skip a directory; None to enter it."""
    return "vendored or installed" if path.rpartition("/")[2].lower() in _VENDORED_NAMES else None


def name_skip_reason(path: str) -> str | None:
    """Reason to skip a file because of its name; None to read it."""
    name = path.rpartition("/")[2].lower()
    if name in _LOCK_FILE_NAMES:
        return "lock file"
    if "." + name.rpartition(".")[2] in _DATA_FILE_SUFFIXES:
        return "data"
    return "minified" if _MINIFIED.search(name) else None


def text_skip_reason(content: bytes, language: str) -> str | None:
    """Reason to skip a file because of its text; None to keep it."""
    return filter_text(content, language).reason


def filter_text(content: bytes, language: str) -> FilteredText:
    """A file's text without long lines, or the reason to skip the file."""
    is_prose = kind_of(language) == "prose"
    if not content.strip():
        return FilteredText("empty")
    if len(content) < MAX_POINTER_BYTES and (pointer := _POINTER.match(content)):
        return FilteredText("Git LFS pointer" if pointer[1] else "git-annex pointer")
    if is_generated(content, language, is_prose):
        return FilteredText("generated")
    if kind_of(language) == "data" and len(content) > LARGE_DATA_BYTES:
        return FilteredText("data")
    shortened = without_long_lines(content, is_prose)
    if shortened is None:
        return FilteredText("minified")
    return FilteredText("data" if _is_table(shortened.content) else None, shortened)


def _is_table(content: bytes) -> bool:
    """Whether the text is mostly digits, hexadecimal numbers or base64."""
    if len(content) < TABLE_BYTES:
        return False
    non_blank = content.translate(None, _BLANK)
    min_table_bytes = TABLE_SHARE * len(non_blank)
    if len(non_blank) - len(non_blank.translate(None, _DIGITS)) > min_table_bytes:
        return True
    if content.count(b"0x") + content.count(b"0X") + content.count(b"\\x") > min_table_bytes / 20:
        return sum(map(len, _HEX_NUMBER.findall(content))) > min_table_bytes
    if len(non_blank) < _MIN_BASE64_NON_BLANK * len(content):
        return False
    return sum(len(run) for run in _BASE64_RUN.findall(content) if not run.isalpha()) > min_table_bytes
