"""Passwords that people wrote, which no measure of randomness finds, where the name and the form leave no doubt.

A value in quotes is one if its name ends with `password` and the value has a sign or digit among its letters and is
no word for a credential itself: `super$word` and `Spring2024`, but neither `password2` (the name of a field) nor
`Password!` (a label). The value of an XML element such as `<add key="ClearTextPassword" value="...">` needs no sign.
"""

import re
from collections.abc import Iterator

from cllm.corpus.redact.names import Strength, strength_of
from cllm.corpus.redact.secret import Secret

KIND = "written password"
_NAME = re.compile(rb"(?i)(?:passw(?:or)?d|passphrase)[0-9]?$")
_PASSWORD = re.compile(
    rb"(?=[^A-Za-z]*[A-Za-z][^A-Za-z]*[A-Za-z][^A-Za-z]*[A-Za-z])"  # three letters
    rb"(?:[!-~]*[A-Za-z0-9][!@#$%^&+~][!-~]*[A-Za-z0-9!@#$%^&*]|[A-Za-z]+[0-9]{2,}[!@#$%^&*]*|[A-Za-z0-9]*[0-9][A-Za-z0-9]*)"
)
# A variable in a string, a path, an address, an expression, or the name of something.
_REFERENCE = re.compile(rb"\$[A-Z{(]|^\$|%[({]|%\w+%|^%|#\{|[/\\<>()\[\]{}=:,;.?|]|__|^[A-Z_]+$|^[a-z]+[-_]")
_CLEAR_TEXT = re.compile(rb"key=\"(?:cleartext)?password\"\s{1,20}value=\"([^\"\s]{8,128})\"")
# What is filled in when the file is installed: `__Password__`, `%PASSWORD%`, `#{Password}`.
_FILLED_IN = re.compile(rb"__.*__|%.*%|[$#{\[<*&].*")
_MIN_BYTES, _MAX_BYTES = 8, 40


def is_written_password(name: bytes, value: bytes) -> bool:
    """Whether a value in quotes, assigned to `name`, is a password that a person wrote."""
    return (
        _MIN_BYTES <= len(value) <= _MAX_BYTES
        and _NAME.search(name) is not None
        and _PASSWORD.fullmatch(value) is not None
        and _REFERENCE.search(value) is None
        and strength_of(value) is Strength.NONE
    )


def clear_text_passwords(content: bytes, lower: bytes) -> Iterator[Secret]:
    """The passwords of `<add key="ClearTextPassword" value="...">`, as in the configuration of NuGet and of .NET."""
    for match in _CLEAR_TEXT.finditer(lower) if b'password" ' in lower and b"<add" in lower else ():
        if _FILLED_IN.fullmatch(content[slice(*match.span(1))]) is None:
            yield Secret(*match.span(1), KIND)
