"""Passwords that people wrote, which no measure of randomness finds, where the name and the form leave no doubt.

A value in quotes is one if its name ends with `password` and the value has a sign or digit among its letters and is
no word for a credential itself: `super$word` and `Spring2024`, but neither `password2` (the name of a field) nor
`Password!` (a label). The value of an XML element such as `<add key="ClearTextPassword" value="...">` needs no sign.
"""

import re

from cllm.corpus.redact.names import Strength, strength_of

_NAME = re.compile(rb"(?i)(?:passw(?:or)?d|passphrase)[0-9]?$")
_PASSWORD = re.compile(
    rb"(?=(?:[^A-Za-z]*[A-Za-z]){3})(?:"  # three letters
    rb"[!-~]*[A-Za-z0-9][!@#$%^&+~][!-~]*[A-Za-z0-9!@#$%^&*]"  # a sign inside
    rb"|[A-Za-z]+[0-9]{2,}[!@#$%^&*]*"  # a number at the end, perhaps with signs
    rb"|[A-Za-z0-9]*[0-9][A-Za-z0-9]*)"  # a digit anywhere
)
# A variable in a string, a path, an address, an expression, or the name of something.
_REFERENCE = re.compile(rb"\$[A-Z{(]|^\$|%[({]|%\w+%|^%|#\{|[/\\<>()\[\]{}=:,;.?|]|__|^[A-Z_]+$|^[a-z]+[-_]")
# What is filled in when the file is installed: `__Password__`, `%PASSWORD%`, `#{Password}`.
_FILLED_IN = re.compile(rb"__.*__|%.*%|[$#{\[<*&].*|.*\s.*")
_SIGN = re.compile(rb"[!@#$%^&*]")
_MIN_BYTES, _MAX_BYTES = 8, 40


def is_written_password(name: bytes, value: bytes) -> bool:
    """Whether a value in quotes, assigned to `name`, is a password that a person wrote."""
    return (
        _MIN_BYTES <= len(value) <= _MAX_BYTES
        and _NAME.search(name) is not None
        and _PASSWORD.fullmatch(value) is not None
        and _REFERENCE.search(value) is None
        and (strength_of(value) is Strength.NONE or len(set(_SIGN.findall(value))) >= 2)
    )


def is_clear_text(name: bytes, value: bytes) -> bool:
    """Whether `value` is the password of `<add key="ClearTextPassword" value="...">`, as NuGet and .NET have them."""
    return name.lower() in (b"password", b"cleartextpassword") and _FILLED_IN.fullmatch(value) is None
