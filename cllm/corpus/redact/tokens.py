"""Find the tokens of known formats.

Of a text only the long words are searched, an eighth of redis' text: a token is one. Which formats can occur is seen
from the first three bytes of the words' parts; so 300 prefixes cost one set operation a text.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from cllm.corpus.redact.formats import FORMATS, WEB_TOKEN, Format
from cllm.corpus.redact.secret import Secret
from cllm.corpus.redact.values import (
    change_rate,
    entropy,
    has_alphabet,
    has_letter_and_digit,
    is_placeholder,
    is_written_by_hand,
)

MIN_WORD_BYTES = 16
_START_BYTES = 3
_IN_PART = b"_.~+-"  # besides letters and digits
_IN_WORD = _IN_PART + b"/:%=@$\\"
_MIN_ENTROPY, _MIN_SHORT_ENTROPY, _MIN_LONG_ENTROPY = 2.5, 2.3, 3.0  # bits a character
# Keys that are no secrets, published in browsers and in Google's own examples: the first 6 bytes of their SHA-256.
_PUBLISHED = frozenset(
    b"""
    0b476bdf9acf 2037abcaffb2 27a9a42931df 37f8f09bdf12 3a8b61d0f636 3f370c9dd822 49f777db995e 4c98242dcadc
    8731261cb72d a19f89ab3555 a6c814bc555a dc0fcf046c61 e4a5542bb7fd ea9bb1082cf9 eb540d2b6ee2
    """.split()
)


_ALPHANUMERIC = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_MASK = bytes(ord("x") if byte in _ALPHANUMERIC + _IN_WORD else ord(" ") for byte in range(256))
_PARTS = bytes(byte if byte in _ALPHANUMERIC + _IN_PART else ord(" ") for byte in range(256))


class LongWords(NamedTuple):
    """The words of a text that have 16 bytes or more, a line each, their parts, and the first bytes of these."""

    text: bytes
    parts: list[bytes]
    starts: frozenset[bytes]


def long_words(content: bytes) -> LongWords:
    """The long words of a text."""
    text = b"\n".join(_long_words(content))
    if b"\\" in text:  # an escape before a token is no part of it
        text = re.sub(rb"\\[nrt]", b"  ", text)
    parts = text.translate(_PARTS).split()
    return LongWords(text, parts, frozenset(part[:_START_BYTES] for part in parts))


def _long_words(content: bytes) -> Iterator[bytes]:
    """Runs of 16 bytes or more that can be in a token; searching a mask takes half the time of splitting the text."""
    mask, needle = content.translate(_MASK), b"x" * MIN_WORD_BYTES
    start = mask.find(needle)
    while start >= 0:
        end = mask.find(b" ", start)
        end = end if end >= 0 else len(mask)
        yield content[start:end]
        start = mask.find(needle, end)


# Prefixes and their formats, by the prefixes' first bytes; the formats that have none.
_BY_START: dict[bytes, list[tuple[bytes, Format]]] = {}
for _format in FORMATS:
    for _prefix in _format.prefixes:
        _BY_START.setdefault(_prefix[:_START_BYTES], []).append((_prefix, _format))
_WITHOUT_PREFIX = [format_ for format_ in FORMATS if format_.infixes]


def token_secrets(content: bytes, words: LongWords) -> Iterator[Secret]:
    """The tokens of known formats in a text, whose long words are `words`."""
    for format_, match in _matches(content, words):
        start, end = match.span(match.lastindex or 0)
        token = content[start:end]
        if _is_token(token, format_.is_specific) and (format_.kind != WEB_TOKEN or has_json_header(token)):
            yield Secret(start, end, format_.kind)


def _matches(content: bytes, words: LongWords) -> Iterator[tuple[Format, re.Match[bytes]]]:
    """Matches of the formats: at each of the prefixes that stand in a text, and of those without prefix anywhere."""
    for start in sorted(words.starts & _BY_START.keys()):
        for prefix, format_ in _BY_START[start]:
            if prefix in words.text:
                yield from ((format_, match) for match in _at_prefix(format_.pattern, prefix, content))
    for format_ in _WITHOUT_PREFIX:
        if any(infix in words.text for infix in format_.infixes) and format_.pattern.search(words.text):
            yield from ((format_, match) for match in format_.pattern.finditer(content))


def _at_prefix(pattern: re.Pattern[bytes], prefix: bytes, content: bytes) -> Iterator[re.Match[bytes]]:
    """Matches of a pattern that begins with `prefix`."""
    at = content.find(prefix)
    while at >= 0:
        match = pattern.match(content, at)
        if match:
            yield match
        at = content.find(prefix, match.end() if match else at + len(prefix))


def has_json_header(token: bytes) -> bool:
    """Whether the first part of a JSON web token is the base64 form of an object."""
    header = re.match(rb"[\w-]+", token)[0]  # type: ignore[index]
    try:
        text = base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4))
    except binascii.Error:
        return False
    return re.fullmatch(rb"\s*\{[ -~\s]*\}\s*", text) is not None


def _min_entropy(token: bytes) -> float:
    """Bits a character that a token has at least: fewer if it is short, more if it is one word of 40 or more."""
    if len(token) < 20:
        return _MIN_SHORT_ENTROPY
    return _MIN_LONG_ENTROPY if len(token) >= 40 and re.fullmatch(rb"\w+", token) else _MIN_ENTROPY


def _is_token(token: bytes, is_specific: bool) -> bool:
    """Whether what matches a format is a token, not a placeholder or a name in code."""
    if entropy(token) < _min_entropy(token):
        return False
    if hashlib.sha256(token).hexdigest()[:12].encode() in _PUBLISHED:
        return False
    if b"EXAMPLE" in token or has_alphabet(token):
        return False
    if is_specific:
        return True
    is_mixed = change_rate(token) >= 0.15 or (has_letter_and_digit(token) and entropy(token) >= 3.5)
    return is_mixed and not is_placeholder(token) and not is_written_by_hand(token)
