"""Redact secrets before training: a model trained on a repository for many epochs memorises its keys.

Each secret is overwritten by a placeholder of the same length and shape (a letter becomes `x` or `X`, a digit `0`, the
rest stays), so the code around it is unchanged. Three families: the token formats of known services, private key
blocks, and random-looking strings assigned to a name like `password` or `api_key`. For speed, a rule is tried only
where one of its keywords occurs. Redaction is idempotent.

Not covered: secrets that look like words (`hunter2`), and whether a key is live. The rules follow the token formats
that the services publish, and gitleaks' generic rule for the entropy test.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

_SHAPE = bytes.maketrans(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", b"x" * 26 + b"X" * 26 + b"0" * 10
)


@dataclass(frozen=True)
class _Rule:
    """A kind of secret, which contains at least one of `keywords`; group 1 of `pattern` is replaced."""

    kind: str
    keywords: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    is_secret: Callable[[bytes], bool] = lambda value: True


def _entropy(value: bytes) -> float:
    """Shannon entropy of the letters and digits of `value`, in bits per character."""
    counts = Counter(byte for byte in value if chr(byte).isalnum()).values()
    total = sum(counts)
    return -sum(count / total * math.log2(count / total) for count in counts) if total else 0.0


def _alternations(value: bytes) -> int:
    """Number of changes between letter and digit, which random text has and names have not."""
    return len(re.findall(rb"(?<=[A-Za-z])[0-9]|(?<=[0-9])[A-Za-z]", value))


def _is_jumbled(value: bytes) -> bool:
    """Whether lower case, upper case and digits alternate at random: 62% of pairs differ; in camelCase 40%."""
    changes = len(re.findall(rb"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[a-z0-9]|(?<=[0-9])[A-Za-z]", value))
    return len(value) >= 16 and changes >= 0.45 * len(value)


def _looks_random(value: bytes) -> bool:
    """Whether a quoted value has 3.0 bits per character and is mixed. Placeholders have under 1.6 bits."""
    return (_alternations(value) >= 2 or _is_jumbled(value)) and _entropy(value) >= 3.0


def _looks_very_random(value: bytes) -> bool:
    """Whether an unquoted value, in code an expression, has 3.5 bits per character and is well mixed."""
    return (_alternations(value) >= 4 or _is_jumbled(value)) and _entropy(value) >= 3.5


_NAME = (
    rb"(?:passwo?r?d|passwd|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|auth[_-]?key|private[_-]?key|credential)"
)
_NAMES = (b"pass", b"pwd", b"secret", b"token", b"key", b"credential")
_RULES = (
    _Rule(
        "private key",
        (b"PRIVATE KEY",),
        re.compile(
            rb"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----((?:[\w+/=\s\\\"',:.*#]|-(?!----)){64,20000})-----END"
        ),
    ),
    _Rule(
        "AWS key",
        (b"AKIA", b"ASIA", b"ABIA", b"ACCA"),
        re.compile(rb"(?<![A-Za-z0-9])((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})(?![A-Za-z0-9])"),
    ),
    _Rule(
        "GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        re.compile(rb"\b(gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})"),
    ),
    _Rule("GitLab token", (b"glpat-", b"gldt-", b"glrt-"), re.compile(rb"\b(gl(?:pat|dt|rt)-[A-Za-z0-9_-]{20,64})")),
    _Rule(
        "Slack token",
        (b"xox", b"xapp-"),
        re.compile(rb"\b(xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-[A-Za-z0-9-]{20,250})"),
    ),
    _Rule(
        "Slack webhook",
        (b"hooks.slack.com/",),
        re.compile(rb"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{30,80})"),
    ),
    _Rule("Google key", (b"AIza", b"GOCSPX-"), re.compile(rb"\b(AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28})")),
    _Rule(
        "Stripe key",
        (b"k_live_", b"k_test_", b"whsec_"),
        re.compile(rb"\b((?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,255}|whsec_[A-Za-z0-9+/]{24,255})"),
    ),
    _Rule("npm token", (b"npm_",), re.compile(rb"\b(npm_[A-Za-z0-9]{36})\b")),
    _Rule("PyPI token", (b"pypi-",), re.compile(rb"\b(pypi-AgE[A-Za-z0-9_-]{50,1000})")),
    _Rule(
        "model service key",
        (b"sk-",),
        re.compile(rb"\b(sk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{32,255})"),
        _looks_very_random,
    ),
    _Rule(
        "Hugging Face token",
        (b"hf_",),
        re.compile(rb"\b(hf_[A-Za-z0-9]{34,40})\b"),
        lambda value: _entropy(value) > 3.5,
    ),
    _Rule(
        "JSON web token",
        (b"eyJ",),
        re.compile(rb"\b(eyJ[A-Za-z0-9_-]{16,4000}\.eyJ[A-Za-z0-9_-]{16,4000}\.[A-Za-z0-9_-]{16,4000})"),
    ),
    _Rule(
        "password in a URL",
        (b"://",),
        re.compile(rb"://[^\s/:@\"'<>]{1,64}:([^\s/@\"'<>{}$]{8,128})@[A-Za-z0-9]"),
        _looks_random,
    ),
)
# Searched in a lower-case copy, which is three times as fast as a case-insensitive search.
_ASSIGNED = re.compile(
    _NAME
    + rb"[\w.-]{0,40}[\"'`]?\]?\s{0,4}(?:"
    + rb"(?::=|=>|[:=(]|:[ ]?[\w.\[\]|]{1,30}[ ]?=|)\s{0,4}[bru]?[\"'`]([^\s\"'`<>{}$()]{8,512})[\"'`]"
    + rb"|[:=][ \t]{0,4}([\w+/=-]{20,512})[ \t\r]*(?:\n|\Z))"
)
_ESCAPED_OR_PLAIN = re.compile(rb"\\[\s\S]|[^\\]+")


def redact(content: bytes) -> tuple[bytes, Counter[str]]:
    """The text with its secrets overwritten, of the same length, and the number of replacements of each kind."""
    counts: Counter[str] = Counter()
    for rule in _RULES:
        if any(bytes_ in content for bytes_ in rule.keywords):
            spans = [match.span(1) for match in rule.pattern.finditer(content) if rule.is_secret(match[1])]
            content = _overwrite_spans(content, spans, rule.kind, counts)
    return _overwrite_spans(content, _assigned_secret_spans(content), "assigned secret", counts), counts


def _assigned_secret_spans(content: bytes) -> list[tuple[int, int]]:
    """Spans of random-looking values that are assigned to names like `password`."""
    lower = content.lower()
    if not any(name in lower for name in _NAMES):
        return []
    spans = []
    for match in _ASSIGNED.finditer(lower):
        quoted = match[1] is not None
        start, end = match.span(1 if quoted else 2)
        if (_looks_random if quoted else _looks_very_random)(content[start:end]):
            spans.append((start, end))
    return spans


def _placeholder(match: re.Match[bytes]) -> bytes:
    """Placeholder of a match; an escape such as `\\n` is kept, so that the string around it still parses."""
    return match[0] if match[0].startswith(b"\\") else match[0].translate(_SHAPE)


def _overwrite_spans(content: bytes, spans: list[tuple[int, int]], kind: str, counts: Counter[str]) -> bytes:
    """Overwrite spans with placeholders; a span that is already a placeholder is not counted."""
    pieces, at = [], 0
    for start, end in spans:
        shape = _ESCAPED_OR_PLAIN.sub(_placeholder, content[start:end])
        counts[kind] += shape != content[start:end]
        pieces += [content[at:start], shape]
        at = end
    return b"".join([*pieces, content[at:]]) if spans else content
