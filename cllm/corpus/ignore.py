"""Matching of `.gitignore` patterns, with git's semantics, on bytes.

A pattern is translated once: a literal prefix, then components between slashes, each literal, `**`, or a regular
expression without backtracking across stars (atomic groups), so that no pattern makes the scan slow. The file in the
deepest directory with a matching line decides; within a file the last matching line does (`git_view` has the order of
the other files).

Chosen over pathspec 1.1.1, which raises on `[z-a]` and on a trailing backslash, lets `!keep` re-include what lies
below `keep/` against an outer rule (git does not), and needs 61 s for `*a*a*a*a*a*a*b` on a name of 100 bytes.
Not supported: `core.ignoreCase`.
"""

import re
from dataclasses import dataclass

MAX_RULES_BYTES = 1 << 18  # of one file: GitHub's longest template has 8 KB
_DOUBLE_STAR = None  # a component that matches any number of components
_NEVER = re.compile(rb"(?!)")
_CLASSES = {
    b"alnum": re.compile(rb"[A-Za-z0-9]"),
    b"alpha": re.compile(rb"[A-Za-z]"),
    b"blank": re.compile(rb"[ \t]"),
    b"cntrl": re.compile(rb"[\x00-\x1f\x7f]"),
    b"digit": re.compile(rb"[0-9]"),
    b"graph": re.compile(rb"[!-~]"),
    b"lower": re.compile(rb"[a-z]"),
    b"print": re.compile(rb"[ -~]"),
    b"punct": re.compile(rb"[!-/:-@\[-`{-~]"),
    b"space": re.compile(rb"[ \t\n\v\f\r]"),
    b"upper": re.compile(rb"[A-Z]"),
    b"xdigit": re.compile(rb"[0-9A-Fa-f]"),
}


@dataclass(frozen=True)
class Pattern:
    """One line of a `.gitignore`."""

    negated: bool
    directories_only: bool
    matches_basename: bool  # the pattern has no slash: it is matched against the base name
    prefix: bytes
    components: tuple[re.Pattern[bytes] | None, ...]

    def matches(self, path: bytes, is_directory: bool) -> bool:
        """Whether the pattern matches the entry itself, not a parent; `path` is relative to the pattern's file."""
        if self.directories_only and not is_directory:
            return False
        name = path[path.rfind(b"/") + 1 :] if self.matches_basename else path
        if not self.components:
            return name == self.prefix
        return name.startswith(self.prefix) and _glob(self.components, name[len(self.prefix) :])


class Rules:
    """The patterns of one file, the last first."""

    def __init__(self, content: bytes) -> None:
        content = content[:MAX_RULES_BYTES].removeprefix(b"\xef\xbb\xbf")
        parsed = (_parse(line.removesuffix(b"\r").split(b"\0")[0]) for line in content.split(b"\n"))
        self.patterns = [pattern for pattern in parsed if pattern][::-1]

    def verdict(self, path: bytes, is_directory: bool) -> bool | None:
        """True if the path is ignored, False if a `!` line re-includes it, None if no line matches."""
        for pattern in self.patterns:
            if pattern.matches(path, is_directory):
                return not pattern.negated
        return None


def _parse(line: bytes) -> Pattern | None:
    """The pattern of a line; None for a comment or a blank line."""
    line = _without_trailing_spaces(line)
    if not line or line.startswith(b"#"):
        return None
    negated = line.startswith(b"!")
    body = line[negated:]
    directories_only = body.endswith(b"/")
    body = body.removesuffix(b"/")
    matches_basename = b"/" not in body
    body = body.removeprefix(b"/")
    literal = re.match(rb"[^*?\[\\]*", body)
    assert literal
    # git compares a pattern's literal prefix by bytes, so in `foo**/bar` the stars are at the start of a component.
    prefix = b"" if matches_basename and literal.end() < len(body) else literal[0]
    rest = body[len(prefix) :]
    components = tuple(_component(tokens, matches_basename) for tokens in _tokens(rest)) if rest else ()
    return Pattern(negated, directories_only, matches_basename, prefix, components)


def _without_trailing_spaces(line: bytes) -> bytes:
    """The line without trailing spaces; a space after a backslash is kept."""
    match = re.match(rb"(?: *(?:\\[\s\S]|[^ \\]))*", line)
    assert match
    rest = line[match.end() :]
    return line if b"\\" in rest else match[0]


def _tokens(pattern: bytes) -> list[list[bytes]]:
    """The pattern split at its slashes; in each component a token is `*` or a regular expression for one byte."""
    parts: list[list[bytes]] = [[]]
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        at += 1
        if byte == b"[":
            allowed, at = _bracket(pattern, at)
            parts[-1].append(allowed)
            continue
        if byte == b"\\":
            byte, at = pattern[at : at + 1], at + 1
            parts[-1].append(re.escape(byte) if byte else b"(?!)")
        elif byte in b"*?":
            parts[-1].append(b"*" if byte == b"*" else b"[^/]")
        elif byte != b"/":
            parts[-1].append(re.escape(byte))
        if byte == b"/":
            parts.append([])
    return parts


def _bracket(pattern: bytes, at: int) -> tuple[bytes, int]:
    """Regular expression of the `[...]` that begins before `at`, and its end. A malformed one matches nothing."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    allowed: set[int] = set()
    previous = 0
    first = True
    while at < len(pattern) and (first or pattern[at] != ord("]")):
        first = False
        byte = pattern[at]
        if byte == ord("\\"):
            at += 1
            if at == len(pattern):
                break
            byte = pattern[at]
            allowed.add(byte)
        elif byte == ord("-") and previous and at + 1 < len(pattern) and pattern[at + 1] != ord("]"):
            at += 2 if pattern[at + 1] == ord("\\") else 1
            if at == len(pattern):
                break
            allowed.update(range(previous, pattern[at] + 1))
            byte = 0
        elif named := re.compile(rb"\[:([^\]]*):\]").match(pattern, at):
            if named[1] not in _CLASSES:
                return b"(?!)", len(pattern)
            allowed.update(value for value in range(256) if _CLASSES[named[1]].match(bytes([value])))
            at = named.end() - 1
            byte = 0
        else:
            allowed.add(byte)
        previous = byte
        at += 1
    if at >= len(pattern):
        return b"(?!)", len(pattern)
    members = set(range(256)) - allowed if negated else allowed
    members.discard(ord("/"))
    text = b"".join(re.escape(bytes([value])) for value in sorted(members))
    return (b"[" + text + b"]" if text else b"(?!)"), at + 1


def _component(tokens: list[bytes], matches_basename: bool) -> re.Pattern[bytes] | None:
    """One component. Between two stars the leftmost match is as good as any other, so atomic groups suffice."""
    if len(tokens) > 1 and not matches_basename and set(tokens) == {b"*"}:
        return _DOUBLE_STAR
    pieces: list[list[bytes]] = [[]]
    for token in tokens:
        if token == b"*":
            pieces.append([])
        else:
            pieces[-1].append(token)
    first, *between = (b"".join(piece) for piece in pieces)
    if not between:
        return re.compile(first, re.DOTALL)
    middle = b"".join(b"(?>[^/]*?" + piece + b")" for piece in between[:-1] if piece)
    return re.compile(first + middle + b"[^/]*" + between[-1], re.DOTALL)


def _glob(components: tuple[re.Pattern[bytes] | None, ...], path: bytes) -> bool:
    """Whether components match a path's: the iterative glob match that backtracks only to the last `**`."""
    names = path.split(b"/")
    component = name = 0
    star = resume = -1
    while name < len(names):
        pattern = components[component] if component < len(components) else _NEVER
        if pattern is _DOUBLE_STAR:
            star, resume = component, name
            component += 1
            if component == len(components):
                return True
        elif pattern.fullmatch(names[name]):
            component += 1
            name += 1
        elif star >= 0:
            resume += 1
            component, name = star + 1, resume
        else:
            return False
    return component == len(components)
