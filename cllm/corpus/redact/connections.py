"""Credentials by their place: in URLs, in authorization headers, as the login of `curl`, as an encoded login."""

import base64
import binascii
import re
from collections.abc import Iterator

from cllm.corpus.redact.secret import Secret
from cllm.corpus.redact.values import (
    change_rate,
    entropy,
    has_letter_and_digit,
    is_placeholder,
    is_random,
    is_written_by_hand,
)

URL_PASSWORD, HEADER, LOGIN = KINDS = ("password in a URL", "authorization header", "login")
_URL_LOGIN = re.compile(rb"://([^\s/:@\"'<>`\\]{0,128}):([^\s/\"'<>`\\@]{4,256})@(?=[A-Za-z0-9\[])")
# What precedes a token or an encoded login in a header or a configuration, in small letters.
_TOKEN_MARKS = (b"authorization: token ", b"authorization: apikey ", b"authorization: ssws ", b"authorization: splunk ")
_LOGIN_MARKS = (b"_auth=", b"_auth = ", b'"auth": "', b'"auth":"')
_TOKEN = re.compile(rb"[\"']?([\w.~+/=-]{16,4000})")
_LOGIN = re.compile(rb"[\"']?([A-Za-z0-9+/]{10,400}={0,2})(?![A-Za-z0-9+/=])")
_CURL_LOGIN = re.compile(
    rb"[ \t](?:-u|--user)(?:=|[ \t]{0,4})([\"']?)[\"']?([^\s:\"']{0,100}):"
    rb"(?:([\"'])([^\s\"']{4,128})\3|([^\s\"'|]{6,128}?)\1(?=[\s\"']|\Z))"
)
_DATABASE_PASSWORD = re.compile(
    rb"identified[ ](?:with[ ][\w'\"]{1,40}[ ])?by[ ](?:password[ ])?['\"]([^'\"\s]{6,128})['\"]"
)
_MACHINE_PASSWORD = re.compile(rb"login\s{1,8}\S{1,100}\s{1,8}password\s{1,8}(\S{6,128})")
_AUTH_PAIR = re.compile(rb"auth[ ]?=[ ]?\([ ]?[\"'][^\"'\n]{1,100}[\"'],[ ]?[\"']([^\"'\s]{6,128})[\"']")
_LOGINS = ((b"identified ", _DATABASE_PASSWORD), (b"machine ", _MACHINE_PASSWORD), (b"auth", _AUTH_PAIR))
# Words that stand for a login in examples.
_EXAMPLES = frozenset(
    b"""password passwd pass pwd secret token user username admin root guest test testing example changeme changeit
    xxx xxxx postgres mysql redis mongo rabbitmq pw p@ssw0rd hunter2 localhost apikey api_key key none foo bar baz
    userpass mypassword yourpassword your_password my_password""".split()
)
_MIN_PASSWORD_CHANGE_RATE = 0.2


def connection_secrets(content: bytes, lower: bytes) -> Iterator[Secret]:
    """The credentials of a text by their place; `lower` is the text in small letters."""
    if b"://" in content and b"@" in content:
        for match in _URL_LOGIN.finditer(content):
            if _is_password(match[2]):
                yield Secret(*match.span(2), URL_PASSWORD)
    has_auth = b"auth" in lower
    for match in _behind((b"bearer ", *_TOKEN_MARKS * has_auth), _TOKEN, content, lower):
        if entropy(match[1]) >= 3.0 and change_rate(match[1]) >= 0.2 and not is_placeholder(match[1]):
            yield Secret(*match.span(1), HEADER)
    for match in _behind((b"basic ", *_LOGIN_MARKS * has_auth), _LOGIN, content, lower):
        if _is_encoded_login(match[1]) or _is_long_login(content, match):
            yield Secret(*match.span(1), HEADER)
    for mark, pattern in _LOGINS:
        for match in pattern.finditer(lower) if mark in lower else ():
            if _is_password(content[slice(*match.span(1))]):
                yield Secret(*match.span(1), LOGIN)
    if b"curl" in content and (b" -u" in content or b"--user" in content):
        for match in _CURL_LOGIN.finditer(content):
            group = 4 if match[4] is not None else 5
            if _is_password(match[group]):
                yield Secret(*match.span(group), LOGIN)


def _behind(
    marks: tuple[bytes, ...], pattern: re.Pattern[bytes], content: bytes, lower: bytes
) -> Iterator[re.Match[bytes]]:
    """Matches of `pattern` right behind each of `marks`."""
    for mark in marks:
        at = lower.find(mark)
        while at >= 0:
            if match := pattern.match(content, at + len(mark)):
                yield match
            at = lower.find(mark, at + len(mark))


def _is_password(value: bytes) -> bool:
    """Whether the part behind the colon of a login is a password, and neither an example nor a variable."""
    if value.lower() in _EXAMPLES or is_placeholder(value) or value[:1] in (b"$", b"%", b"{", b"[", b"<"):
        return False
    if re.fullmatch(rb"[0-9]{1,5}", value):  # a port
        return False
    if len(value) >= 12 and not is_written_by_hand(value) and value not in (value.lower(), value.upper()):
        return True
    is_mixed = has_letter_and_digit(value) or change_rate(value) >= 0.25
    return is_mixed and change_rate(value) >= _MIN_PASSWORD_CHANGE_RATE or (len(value) >= 20 and entropy(value) >= 3)


def _is_long_login(content: bytes, match: re.Match[bytes]) -> bool:
    """Whether a value of 40 characters or more stands behind `Authorization: Basic`; its form does not matter then."""
    is_header = content[max(0, match.start() - 21) : match.start()].lower().endswith(b"authorization: basic ")
    return is_header and len(match[1]) >= 40 and is_random(match[1], 0.2)


def _is_encoded_login(value: bytes) -> bool:
    """Whether a value is the base64 form of a printable `user:password` that is no example."""
    try:
        login = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    user, colon, password = login.partition(b":")
    is_login = bool(colon and user and len(password) >= 4 and password.lower() not in _EXAMPLES)
    return is_login and all(32 <= byte < 127 for byte in login)
