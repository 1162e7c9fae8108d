"""Whether a name in code, such as `db_password` or `tokenId`, stands for a secret.

A name is split into words at separators and capitals. It is a strong name if it has a word for a credential, and a weak
one if it ends in `key` behind a word of its own (`maps_key`); words behind the credential's, as in `secret_name`, or
before it, as in `public_key`, say that the value is something else.
"""

import re
from enum import Enum

from cllm.corpus.redact.service_names import has_service

_WORDS = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SEPARATORS = re.compile(rb"[^a-z]+")
_CREDENTIAL = re.compile(
    rb"passw|passphrase|passcode|pwd|passwd|secret|token(?!iz|is)|credential|authorization"
    rb"|(?:^|_)(?:pass|pw|pat|creds?)$|sumo_?(?:logic_)?access_?id"  # of Sumo Logic, whose keys have two halves
    rb"|(?:api|app|access|account|auth|private|signing|encryption|encrypt|decryption|shared|master|license|service"
    rb"|client|consumer|application|crypto|webhook|deploy|admin|preshared|hmac"
    rb"|aes|storage|instrumentation|subscription)_?key"
)
_WEAK = re.compile(rb"(?:[a-z0-9]{2,}_?key|(?:^|_)(?:auth|private|access))$")
# Behind the credential's word: what follows is about it.
_ABOUT = frozenset(
    b"""id ids ident identifier name names url urls uri uris path paths file files filename dir folder directory
    hint hints type types kind length len size count num number hash hashed sha md digest checksum fingerprint
    thumbprint endpoint host arn prefix suffix header headers field fields param params parameter label title
    text message msg error errors description placeholder expiry expires expire expiration ttl timeout lifetime
    age algorithm alg method mode format version regex regexp pattern rule rules list cache index offset
    position pos class style icon color page view form input model location address ref reference arns manager
    provider store vault service policy status state enabled required scope scopes issuer audience template
    charset chars alphabet signature sig generator validator reset rotation encoding usage set map table column
    row domain region attribute attr key_id keyid ring stroke down up press pressed code word words board space
    spaces program contract mint wallet pad""".split()
)
# Before it: something else.
_OTHER = frozenset(
    b"""public pub primary foreign sort partition cache hash hashed object dict row column index group map s3 bucket
    file image asset i18n translation message lang locale query event press shortcut react item lookup route
    unique natural composite surrogate idempotency dedup etag commit tree blob registry setting property metric
    feature flag sequence schema down up host csrf xsrf next page cursor continuation sync mon tur hot valid
    invalid no not issuer verify verification verifying recipient manager authenticity socket""".split()
)
_GETTERS = frozenset(
    b"""get read load fetch find lookup resolve retrieve require from env getenv environ delete remove has is check
    parse decode describe list exists import open use_secret access""".split()
)

# Names of credentials that a UUID can be, and services with such keys; elsewhere a UUID is an identifier.
_UUID_KEY = re.compile(
    rb"(?:api|secret|private|access)_?(?:key|token)$|authorization$|secret$|private$"
    rb"|heroku|shortcut|canny|ditto|url_?scan|magnetic|npm"
)


class Strength(Enum):
    """How surely a name stands for a secret."""

    NONE = 0
    WEAK = 1
    STRONG = 2


def words_of(name: bytes) -> list[bytes]:
    """The words of a name, in small letters: `dbPassword2` is [`db`, `password`]."""
    return [word.lower() for word in _WORDS.findall(name)]


def strength_of(name: bytes) -> Strength:
    """How surely `name` stands for a secret."""
    words = words_of(name)
    joined = b"_".join(words)
    matches = list(_CREDENTIAL.finditer(joined))
    if not matches:  # "serviceSECRETkey", whose capitals are not those of words
        matches = list(_CREDENTIAL.finditer(_SEPARATORS.sub(b"_", name.lower())))
    strength = Strength.STRONG if matches else Strength.WEAK
    match = matches[-1] if matches else _WEAK.search(joined)
    if match is None:
        return Strength.NONE
    after = match.string[match.end() :].split(b"_")[1:]
    before = match.string[: match.start()].strip(b"_").split(b"_")[-1]
    if strength is Strength.WEAK:
        before = words[-2] if len(words) > 1 else words[-1].removesuffix(b"key")
    if strength is Strength.WEAK and before == b"my":  # an example's variable
        return Strength.NONE
    if b"public" in words or before in _OTHER or _ABOUT.intersection(after):
        return Strength.NONE
    return Strength.STRONG if has_service(words) else strength


def is_getter(name: bytes) -> bool:
    """Whether a function's name says that it gets a secret, so that its argument is the secret's name."""
    return bool(_GETTERS.intersection(words_of(name)))


def can_be_uuid(name: bytes) -> bool:
    """Whether the value of a name can be a key of the UUID form: it says so, or names a service with such keys."""
    words = words_of(name)
    return _UUID_KEY.search(b"_".join(words)) is not None or has_service(words)
