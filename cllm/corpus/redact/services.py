"""Services whose keys have no prefix of their own: what stands directly behind such a name is the key.

`openweather = "..."`, `chartmogul: ...`, `"artifactory", "..."`. The services are ones of which a repository has
nothing but the key; hosts of code, scanners of files and stores of content are left out, because hashes and
identifiers stand behind their names. The search begins at the parts of long words, of which 1 in 26 can be a key (in
redis), so that the number of names costs nothing.
"""

import re
from collections.abc import Iterable, Iterator

from cllm.corpus.redact.names import words_of
from cllm.corpus.redact.secret import Secret
from cllm.corpus.redact.service_names import is_service
from cllm.corpus.redact.values import entropy, has_letter_and_digit, is_placeholder, is_written_by_hand

KIND = "service key"
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 20, 128
_MAX_BEFORE_BYTES = 60
_SEPARATORS = b" \t\"'`(=>:,?"
_IN_NAME = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- "
# An object identifier of 24 hexadecimal digits, an address, or (of 40 or 64 behind a colon) a checksum in a lock file.
_IDENTIFIER = re.compile(rb"[0-9a-f]{24}|0x.*")
_CHECKSUM = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_WORDS_OF_KEYS = frozenset(b"api app auth access private secret key token code pat".split())


def service_keys(content: bytes, parts: Iterable[bytes]) -> Iterator[Secret]:
    """The keys in a text behind names of services; `parts` are the parts of its long words, in their order."""
    end = 0
    for part in parts:
        if not (_MIN_KEY_BYTES <= len(part) <= _MAX_KEY_BYTES and part.isalnum()) or part.isalpha():
            continue
        start = content.index(part, end)
        end = start + len(part)
        if _is_behind_service(content, start, part) and _is_key(part):
            yield Secret(start, end, KIND)


def _is_behind_service(content: bytes, at: int, part: bytes) -> bool:
    """Whether the name before the byte `at` ends with a service's, or with words such as `api key` behind it."""
    before = content[max(0, at - _MAX_BEFORE_BYTES) : at]
    named = before.rstrip(_SEPARATORS)
    separators = before[len(named) :]
    named = named.rstrip(b"\"'])")
    name = named[len(named.rstrip(_IN_NAME)) :]
    if not separators or not name or _IDENTIFIER.fullmatch(part) or (b":" in separators and _CHECKSUM.fullmatch(part)):
        return False
    words = words_of(name.split(b" -D")[-1].removeprefix(b"-D"))  # an option of Java: -Dsonar.login=...
    while not any(is_service(words[-count:]) for count in (1, 2, 3)):
        if not words or words.pop() not in _WORDS_OF_KEYS:
            return False
    return True


def _is_key(part: bytes) -> bool:
    return has_letter_and_digit(part) and entropy(part) >= 2.7 and not _is_made_up(part)


def _is_made_up(part: bytes) -> bool:
    """Whether a value is an example: words, or a row of ten letters of the alphabet."""
    rows = zip(part, part[1:], strict=False)
    steps = bytes(after == before + 1 and chr(after).isalpha() for before, after in rows)
    return is_placeholder(part) or is_written_by_hand(part) or bytes([1] * 9) in steps
