"""Private keys in text form: PEM with any head, OpenPGP, SSH2, PuTTY, JSON web keys, Kubernetes secrets.

A block ends at its END line. A key that was cut off before it ends with the last line that looks like part of a key.
The lines of a key may be quoted, indented, commented out, or joined by escapes such as `\\n` into one string.
"""

import base64
import re
from collections.abc import Iterator

from cllm.corpus.redact.secret import Secret

PRIVATE_KEY, KUBERNETES_SECRET = KINDS = ("private key", "Kubernetes secret")
MAX_BLOCK_BYTES = 20_000  # an RSA key of 16,384 bits has 12,700
_MIN_BLOCK_BYTES = 40  # shorter ones are placeholders in documents and tests
_HEAD = re.compile(
    rb"-----?[ ]?BEGIN [A-Z0-9 _.-]{0,60}(?:PRIVATE|SECRET) KEY(?: BLOCK)?[ ]?-?----"
    rb"|-----BEGIN (?:OPENSSL |OPENVPN )?STATIC KEY V1-----|-----BEGIN OpenVPN Static key V1-----"
)
_TAIL = re.compile(rb"-----?[ ]?END ")
_BLOCK_TEXT = re.compile(rb"(?:[\w+/=\s\\\"',:.*#;>|()@<-](?!---[ -]?(?:BEGIN|END) ))*")
_KEY_LINE = re.compile(
    rb"(?:[ \t\"'#*>+|/;]|//|\\[nrt]){0,40}"
    rb"(?:[A-Za-z0-9+/=]{16,2000}|[A-Za-z][A-Za-z-]{2,30}: [^\n\\]{1,200}|[A-Za-z0-9+/]{1,64}={0,2}(?=[\s\\\"']))?"
    rb"(?:[ \t\"',+;\r]|\\[nr]){0,20}(?:\n|\\\n|(?<=\\n)|\Z)"
)
_ENCODED_HEAD = b"LS0tLS1CRUdJTi"  # base64 of "-----BEGIN ", as in the `client-key-data` of a kubeconfig
_ENCODED = re.compile(rb"LS0tLS1CRUdJTi[A-Za-z0-9+/]{60,20000}={0,2}")
_PUTTY_LINES = re.compile(rb"Private-Lines: ([0-9]{1,4})((?:\r?\n|\\n)[\s\S]{0,20000})")
_PUTTY_MAC = re.compile(rb"Private-(?:MAC|Hash): ([0-9a-f]{40,64})")
_WEB_KEY = re.compile(rb"\"(?:d|p|q|dp|dq|qi|k)\"\s{0,4}:\s{0,4}\"([A-Za-z0-9_-]{16,2000})\"")
_KUBERNETES = re.compile(rb"(?mi)^[ \t]*kind:[ \t]*[\"']?Secret[\"']?[ \t]*\r?$")
_DATA = re.compile(rb"(?mi)^([ \t]*)data:[ \t]*\r?\n((?:\1[ \t]+.*(?:\n|\Z)|[ \t]*#.*\n|[ \t]*\r?\n){1,500})")
_DATA_VALUE = re.compile(
    rb"(?m)^[ \t]+[\"']?[\w.-]{1,100}[\"']?:[ \t]*(?:[|>][-+]?[ \t]*\r?\n[ \t]+)?"  # name
    rb"[\"']?([A-Za-z0-9+/]{10,20000}={0,2})[\"']?[ \t\r]*$"  # value
)


def key_block_secrets(content: bytes) -> Iterator[Secret]:
    """The private parts of the key blocks of a text."""
    if b"BEGIN " in content and (b" KEY" in content or b"Static key" in content):
        yield from _blocks(content)
    if _ENCODED_HEAD in content:
        yield from (Secret(*match.span(), PRIVATE_KEY) for match in _ENCODED.finditer(content) if _is_private(match[0]))
    if b"Private-Lines: " in content:
        yield from _putty(content)
    if b'"kty"' in content:
        yield from (Secret(*match.span(1), PRIVATE_KEY) for match in _WEB_KEY.finditer(content))
    if b"kind:" in content and b"data:" in content:
        yield from _kubernetes(content)


def _blocks(content: bytes) -> Iterator[Secret]:
    at = 0
    while head := _HEAD.search(content, at):
        start = at = head.end()
        end = _BLOCK_TEXT.match(content, start, start + MAX_BLOCK_BYTES).end()  # type: ignore[union-attr]
        if not _TAIL.match(content, end) and not _TAIL.match(content, end + 1):
            end = _end_of_cut_key(content, start)
        if end - start >= _MIN_BLOCK_BYTES and re.search(rb"[A-Za-z0-9+/=]{16}", content[start:end]):
            yield Secret(start, end, PRIVATE_KEY)
            at = end


def _end_of_cut_key(content: bytes, start: int) -> int:
    """End of the last line behind `start` that looks like part of a key."""
    end, limit = start, min(len(content), start + MAX_BLOCK_BYTES)
    while end < limit and (line := _KEY_LINE.match(content, end, limit)) and line.end() > end:
        end = line.end()
    return end


def _is_private(encoded: bytes) -> bool:
    """Whether the head of a PEM block in base64 is that of a private key, not of a certificate."""
    return b"PRIVATE KEY" in base64.b64decode(encoded[:64])


def _putty(content: bytes) -> Iterator[Secret]:
    for match in _PUTTY_LINES.finditer(content):
        separator = rb"\\n" if match[2].startswith(b"\\n") else rb"\r?\n"
        lines = re.match(rb"(?:%b[^\n\\]{0,200}){1,%d}" % (separator, min(int(match[1]), 400) or 1), match[2])
        if lines:
            yield Secret(match.start(2), match.start(2) + lines.end(), PRIVATE_KEY)
    yield from (Secret(*match.span(1), PRIVATE_KEY) for match in _PUTTY_MAC.finditer(content))


def _kubernetes(content: bytes) -> Iterator[Secret]:
    """Values under `data:` in the documents of a YAML file that are of kind `Secret`: base64 of the secrets."""
    start = 0
    for document in re.split(rb"(?m)(^---[^\n]*\n)", content):
        if _KUBERNETES.search(document):
            for block in _DATA.finditer(document):
                for value in _DATA_VALUE.finditer(document, block.start(2), block.end(2)):
                    yield Secret(start + value.start(1), start + value.end(1), KUBERNETES_SECRET)
        start += len(document)
