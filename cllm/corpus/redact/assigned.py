"""Random-looking values that are assigned, compared or passed to a name that stands for a secret.

The text around each stem of such a name (`pass`, `secret`, `key` ...) is read as: name, operator, value. Operators are
those of the languages and formats of a repository: `=`, `:`, `=>`, `==`, a comma or bracket of a call, a space behind
an option of a command line, `>` of an element, `value=` of an attribute, `default =` in the block of a variable of
Terraform, `"params": [` of a remote call. A value in quotes has to look random; one without, in code an expression, has
to look more so.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from cllm.corpus.redact.lengths import has_wrong_length
from cllm.corpus.redact.names import Strength, can_be_uuid, is_getter, strength_of
from cllm.corpus.redact.passwords import is_clear_text, is_written_password
from cllm.corpus.redact.secret import Secret
from cllm.corpus.redact.values import (
    entropy,
    has_letter_and_digit,
    is_address,
    is_bare_password,
    is_generated_password,
    is_pattern,
    is_placeholder,
    is_random,
    is_uuid,
    is_written_by_hand,
)

KIND = "assigned secret"
_MAX_NAME_BYTES = 60
_STEMS = (b"pass", b"pw", b"secret", b"token", b"key", b"cred", b"auth", b"private", b"access")
_NAME_BEGIN = re.compile(rb"[\w.$-]*\Z")
_PHRASE_BEGIN = re.compile(rb"(?:\w+[ ]){0,2}\Z")
_REST = re.compile(
    rb"[\w.$-]{0,60}"  # the rest of the name
    rb"\\?[\"'`]?[\])]{0,2}(?:"
    rb"(?P<assign>[ \t]{0,40}(?:\[[0-9]{0,6}\][ \t]?)?"
    rb"(?:(?::[ ]?|[ \t])[\w.*\[\]|<>?]{1,40}[ \t]?:?=(?![=>])|={1,3}>?|!={1,2}|:{1,3}=|:(?!:)|[?.+]=|\|\||->|%3[Dd])"
    rb"(?:[ \t]*[|>]-?\r?\n)?)\s{0,40}"
    rb"|(?P<element>>\s{0,40})"
    rb"|(?P<attribute>\s{1,40}[\"']?value[\"']?\s{0,4}[=:]\s{0,4})"
    rb"|(?P<default>\s{0,4}\{\s{1,40}(?:[a-z_]{1,20}\s{0,20}=[^\n]{0,200}\n\s{0,40}){0,3}default\s{0,20}=\s{0,4})"
    rb"|(?P<params>,\s{0,40}\"params\"\s{0,4}:\s{0,4}\[\s{0,40})"
    rb"|(?P<comma>\s{0,4},\s{0,40})"
    rb"|(?P<call>[ ]?\(\s{0,40})"
    rb"|(?P<space>[ \t]{1,8}))"
    rb"(?=[bBrRuUfFL@$]{0,2}\\?[\"'`]|[^\s\"'`<>(){}\[\],;&|\\]{8}|[^\s\"'`,;\\]{12})"  # a value begins here
)
_QUOTED = re.compile(
    rb"[bBrRuUfFL@$]{0,2}(?:\"\"\"([^\"\\\n\r]{8,1024})\"\"\""
    rb"|\"((?:[^\"\\\n\r]|\\[^\n\r]){8,1024})\"|'((?:[^'\\\n\r]|\\[^\n\r]){8,1024})'"
    rb"|`((?:[^`\\\n\r]|\\[^\n\r]){8,1024})`|\\[\"']([^\"'\\\n\r]{8,1024})\\[\"'])"
)
# A value of more than 200 bytes has `=` at its end at most, which bounds the time for a line of assignments.
_BARE = re.compile(
    rb"([^\s\"'`<>(){}\[\],;&|\\]{8,200}|[^\s\"'`<>(){}\[\],;&|\\=]{201,1024}={0,2})(?=[\s\"'`<,;&)\\}]|\Z)"
)
_PASSWORD_NAME = re.compile(rb"(?i)pass|pwd|pw$")
_SIGNS = re.compile(rb"([^\s\"'`,;\\]{12,64})(?=[\"'`]?,?[ \t\r]*(?:\n|\Z))")  # password = x#9$q(!v&2
_COMPARED = re.compile(rb"([\"'])([^\"'\\\n]{8,300})\1[ ]?[=!]==?[ ]?([\w.$-]{1,60})")  # "value" == password
_COMPARED_STEMS = (b"pass", b"secret", b"private")
_COMPARED_MARKS = (b'" ==', b'" !=', b"' ==", b"' !=")
_JOINED = re.compile(  # API-KEY-1234
    rb"[A-Za-z_]{0,20}[-.]([A-Za-z0-9]{20,512}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?![\w.-])"
)


class _Assignment(NamedTuple):
    """A value, its place, and what stands before it."""

    name: bytes
    operator: str
    is_quoted: bool
    start: int
    value: bytes


def assigned_secrets(content: bytes, lower: bytes) -> Iterator[Secret]:
    """The random values of a text that belong to names of secrets; `lower` is the text in small letters."""
    seen: set[int] = set()
    has_compared_name = False
    for stem in _STEMS:
        at = lower.find(stem)
        has_compared_name |= at >= 0 and stem in _COMPARED_STEMS
        while at >= 0:
            for found in _assignments(content, at):
                if found.start not in seen and _is_secret(found):
                    seen.add(found.start)
                    yield Secret(found.start, found.start + len(found.value), KIND)
            at = lower.find(stem, at + len(stem))
    if has_compared_name and any(mark in content for mark in _COMPARED_MARKS):
        for match in _COMPARED.finditer(content):
            if _is_secret(_Assignment(match[3], "assign", True, match.start(2), match[2])):
                yield Secret(*match.span(2), KIND)


def _assignments(content: bytes, at: int) -> Iterator[_Assignment]:
    """The values behind the name around the byte `at`."""
    if joined := _JOINED.match(content, at):
        name = content[_begin_of_name(content, at) : joined.start(1)]
        if not re.search(rb"[0-9]", name):
            yield _Assignment(name, "space", False, joined.start(1), joined[1])
    if rest := _REST.match(content, at):
        operator, end = rest.lastgroup or "", rest.end()
        quoted = _QUOTED.match(content, end)
        if quoted:
            yield _assignment(content, at, rest, operator, True, quoted)
        elif operator not in ("comma", "call") and (bare := _BARE.match(content, end)) and _is_near(rest):
            yield _assignment(content, at, rest, operator, False, bare)
        if operator == "assign" and (signs := _SIGNS.match(content, end)) and is_bare_password(signs[1]):
            yield _assignment(content, at, rest, operator, True, signs)


def _begin_of_name(content: bytes, at: int) -> int:
    """Where the name that goes on at the byte `at` begins."""
    return at - len(_NAME_BEGIN.search(content[max(0, at - _MAX_NAME_BYTES) : at])[0])  # type: ignore[index]


def _is_near(rest: re.Match[bytes]) -> bool:
    """Whether a value without quotes is in the line of its name, or is the text of an element or of a YAML block."""
    operator = rest[rest.lastgroup or 0]
    return b"\n" not in operator or b">" in operator or b"|" in operator


def _assignment(
    content: bytes, at: int, rest: re.Match[bytes], operator: str, is_quoted: bool, value: re.Match[bytes]
) -> _Assignment:
    begin = _begin_of_name(content, at)
    is_option = content[begin : begin + 1] == b"-"
    if begin == at or (operator == "space" and not is_option):  # "api key 1234": the words before belong to the name
        begin -= len(_PHRASE_BEGIN.search(content[max(0, begin - _MAX_NAME_BYTES) : begin])[0])  # type: ignore[index]
    name = content[begin : rest.start(operator)].rstrip(b"\\\"'`])")
    group = value.lastindex or 0
    if b"value" in rest[operator] and content[max(0, begin - 5) : begin].lower() == b'key="':
        operator = "value of key"
    return _Assignment(name, operator, is_quoted, value.start(group), value[group])


def _is_secret(found: _Assignment) -> bool:
    """Whether an assigned value is a secret, by its name, its operator and its form."""
    value = found.value
    if len(value) < 8 or len(set(value)) < 5:
        return False
    if found.operator == "value of key" and is_clear_text(found.name, value):
        return True
    strength = strength_of(found.name)
    if strength is Strength.NONE or found.operator in ("comma", "call") and is_getter(found.name):
        return False
    if (
        has_wrong_length(found.name, value)
        or is_pattern(value)
        or is_placeholder(value)
        or is_address(value)
        or (is_uuid(value) and not can_be_uuid(found.name))
    ):
        return False
    if found.operator == "comma":
        is_long = is_uuid(value) or (len(value) >= 12 and is_random(value, 0.2 if len(value) >= 16 else 0.3))
        is_mixed = has_letter_and_digit(value) and re.search(rb"\s", value) is None
        return (is_long and is_mixed and not is_written_by_hand(value)) or _is_long_number(value)
    if found.is_quoted:
        if found.operator != "space" and is_written_password(found.name, value):
            return True
        is_password = _PASSWORD_NAME.search(found.name) is not None
        return _is_quoted_secret(value, is_password) if strength is Strength.STRONG else _is_long_key(value)
    is_option = found.name.startswith(b"-")
    if strength is Strength.WEAK or (found.operator == "space" and not is_option):
        return _is_long_key(value) or (strength is Strength.STRONG and _is_short_key(value))
    return _is_bare_secret(value) and (len(value) >= 12 or is_option or b"pass" in found.name.lower())


def _is_quoted_secret(value: bytes, is_password: bool) -> bool:
    """Whether a value in quotes is a secret; a password of 12 characters with a digit only has to be no word."""
    if is_generated_password(value):
        return True
    if re.search(rb"[\s]", value) or is_written_by_hand(value):
        return False
    if has_letter_and_digit(value):
        min_rate = 0.1 if is_password and len(value) >= 12 else 0.2
        return is_random(value, min_rate, 2.5) or _is_long_key(value)
    return (len(value) >= 12 and is_random(value, 0.2)) or _is_long_number(value)


def _is_bare_secret(value: bytes) -> bool:
    if is_written_by_hand(value) or not has_letter_and_digit(value) and len(value) < 12:
        return False
    if len(value) < 16:
        return is_random(value, 0.2 if value.islower() and value.isalnum() else 0.3, 2.8)
    return is_random(value, 0.25, 2.7) or _is_long_key(value) or _is_short_key(value) or _is_long_number(value)


def _is_long_key(value: bytes) -> bool:
    """Whether a value has 20 characters or more of one word with letters and digits, which no person would write."""
    return _is_long_number(value) or (
        len(value) >= 20
        and re.fullmatch(rb"[\w+/=.~:-]+", value) is not None
        and has_letter_and_digit(value)
        and entropy(value) >= 2.7
        and not is_written_by_hand(value)
        and strength_of(value) is Strength.NONE  # an expression
        and (is_random(value, 0.2) or (value.count(b"-") <= 4 and len(re.findall(rb"[_./:]", value)) <= 2))
    )


def _is_short_key(value: bytes) -> bool:
    """Whether a value has 16 to 19 characters that no person would write, and is no number of an OpenPGP key."""
    return (
        16 <= len(value) < 20
        and not re.fullmatch(rb"[0-9A-F]{16}|0x.*", value)
        and value.isalnum()
        and has_letter_and_digit(value)
        and (is_random(value, 0.2) or re.fullmatch(rb"[0-9a-f]+", value) is not None)
        and not is_written_by_hand(value)
    )


def _is_long_number(value: bytes) -> bool:
    """Whether a value is a number of 16 to 100 digits, longer than a time in microseconds."""
    return re.fullmatch(rb"[0-9]{16,100}", value) is not None and entropy(value) >= 2.5
