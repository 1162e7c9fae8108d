"""Values that have the form of a documented key, but not its length, which such a service would not have issued.

They stand in tests of validators and in documentation. A row has the names that it is about, the form by which the key
is recognised, and the whole form with its length.
"""

import re

_ANY_NAME = rb""
_ROWS = tuple(
    tuple(map(re.compile, row))
    for row in (
        # Telegram: the number of the bot, a colon, 35 characters.
        (_ANY_NAME, rb"[0-9]+:[\w-]{30,40}", rb"[0-9]{5,16}:[\w-]{35}"),
        # Amazon: secret keys of 40 characters.
        (rb"(?i)aws.*(?:secret|access).*key", rb"[A-Za-z0-9/+]{36,44}", rb"[A-Za-z0-9/+]{40}"),
        # IBM Cloud: keys of 44 characters, of 48 for its object store; what is longer is none.
        (rb"(?i)ibm", rb"[\w-]{45,60}", rb"[0-9a-f]{48}"),
        # Object stores: hexadecimal secret keys of 40, 48 (IBM) or 64 (Cloudflare) digits.
        (rb"(?i)secret_?access_?key", rb"[0-9a-f]{40}\w+", rb"[0-9a-f]{40}(?:[0-9a-f]{8}|[0-9a-f]{24})?"),
    )
)


def has_wrong_length(name: bytes, value: bytes) -> bool:
    """Whether a value assigned to `name` has the form, but not the length of a key."""
    return any(
        name_pattern.search(name) and form.fullmatch(value) and not whole.fullmatch(value)
        for name_pattern, form, whole in _ROWS
    )
