"""Whether a value is random text, as keys and generated passwords are, or text that a person would write.

Random text changes its class of characters (lower case, upper case, digit) in 40 to 47% of the pairs of neighbours
(base 62, base 36, hexadecimal) and in 30% (base 32); names in code in under 20%, where a capital before a small letter
is no change. Together with Shannon's entropy this separates both from 12 characters on. Paths, URLs, resource names,
identifiers of the UUID form, and placeholders are recognised by their form.
"""

import math
import re
from collections import Counter

_CHANGE = re.compile(rb"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[0-9]|(?<=[0-9])[A-Za-z]")
_LETTER_AND_DIGIT = re.compile(rb"[0-9][\s\S]*?[A-Za-z]|[A-Za-z][\s\S]*?[0-9]")
_UUID = re.compile(rb"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_PLACEHOLDER = re.compile(
    rb"<[^<>]*>|^\$\w|\$\{[\w.:-]+[}]?$|\$\{[\w.:-]+\}|\$\(|\{\{[^{}]*\}\}|%\([a-z]|%[sdv]\b|^%\w+%$|\*\*\*|\.\.\."
    rb"|^\{[\w.]*\}$|^@[\w.]+@$"
    rb"|(?:^|[^A-Za-z])(?:(?i:your|example|sample|dummy|fake|insert|replace|change|redacted|placeholder|masked|hidden)"
    rb"|my|foo|bar|todo|some|none|null|undefined|true|false|env|vars?|process|self|this|config|settings)(?:[^A-Za-z]|$)"
    rb"|EXAMPLE$|(?i:changeme|placeholder|redacted|notreal|notasecret)"
)
_ADDRESS = re.compile(
    rb"\w+://|arn:|urn:|data:|file:|mailto:|[\w.+-]+@[\w-]+\.\w+|0x[0-9a-fA-F]{40}$|\d{1,3}(?:\.\d{1,3}){3}"
    rb"|[+-]?\d+\.\d+(?:e[+-]?\d+)?$|v?\d+(?:[.:]\d+)+[\w.+~:-]*$|sha\d{1,3}[-:]|md5[-:]"
    rb"|\$(?:2[aby]|5|6|argon2\w*|scrypt)\$"
)
_PATTERN = re.compile(rb"\[[^\]]*\w-\w|\(\?|\\[wdsb]|\.\*|\.\+|\)\||\|\(|^\^|\$$")
_WORDS = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_BRACKET = re.compile(rb"[(){}\[\]]")
_BRACKET_PAIR = re.compile(rb"\([^(){}\[\]]*\)|\[[^(){}\[\]]*\]|\{[^(){}\[\]]*\}")
_SYMBOLS = re.compile(rb"[^\w\s'\"`.,/\\:-]")
_FILE_SUFFIX = re.compile(rb"\.(?:[a-z]{1,4}\d?|json|yaml|toml|java|html|properties)$")
_ALPHABETS = (b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def entropy(value: bytes) -> float:
    """Shannon entropy of the letters and digits of `value`, in bits per character; 0 if it has none."""
    counts = Counter(byte for byte in value if chr(byte).isalnum()).values()
    total = sum(counts)
    return -sum(count / total * math.log2(count / total) for count in counts) if total else 0.0


def change_rate(value: bytes) -> float:
    """Changes of the class of characters per pair of neighbouring letters or digits, 0 to 1."""
    pairs = sum(max(0, len(run) - 1) for run in re.findall(rb"[A-Za-z0-9]+", value))
    return len(_CHANGE.findall(value)) / pairs if pairs else 0.0


def is_uuid(value: bytes) -> bool:
    """Whether a value is an identifier of the UUID form, alone or with a short prefix."""
    match = _UUID.search(value)
    return match is not None and len(value) - len(match[0]) <= 8


def is_placeholder(value: bytes) -> bool:
    """Whether a value stands for one that is filled in later, or is an alphabet: `<token>`, `${TOKEN}`, `your-key`."""
    return (
        _PLACEHOLDER.search(value) is not None
        or len(set(value.lower())) < 5
        or (has_alphabet(value) and _has_distinct(value[value.rfind(b"_") + 1 :]))
    )


def _has_distinct(value: bytes) -> bool:
    return len(set(value)) == len(value)


def has_alphabet(value: bytes) -> bool:
    """Whether all letters stand in a value in their order, as in examples."""
    return any(letters in value for letters in _ALPHABETS)


def is_address(value: bytes) -> bool:
    """Whether a value says where or which something is: URL, path, resource name, mail address, hash with its name."""
    return _ADDRESS.match(value) is not None or _is_path(value)


def _is_path(value: bytes) -> bool:
    """Whether a value is a path, a file name, a dotted or slashed name of words; base64 has `/` but no `.` or `-`."""
    if _FILE_SUFFIX.search(value) or value.startswith((b"/", b"./", b"../", b"~/", b"\\\\")) and b"." in value:
        return True
    parts = value.split(b"/")
    if len(parts) > 1 and (re.search(rb"[-_.]", value) or sum(map(len, parts)) < 10 * len(parts)):
        return max(change_rate(part) for part in parts) < 0.4 or len(max(parts, key=len)) < 20
    return False


def is_pattern(value: bytes) -> bool:
    """Whether a value is a regular expression."""
    return _PATTERN.search(value) is not None


def is_random(value: bytes, min_rate: float, min_entropy: float = 3.0) -> bool:
    """Whether a value changes its class of characters at `min_rate` or more, and has `min_entropy` bits a character."""
    return change_rate(value) >= min_rate and entropy(value) >= min_entropy


def is_written_by_hand(value: bytes) -> bool:
    """Whether most of a value is words of 4 to 28 letters, in any case, joined by separators or capitals."""
    words = _WORDS.findall(value)
    letters = sum(len(word) for word in words if 4 <= len(word) <= 28 and word.isalpha() and _has_vowels(word))
    return letters >= 0.7 * sum(map(len, words))


def _has_vowels(word: bytes) -> bool:
    """Whether a word can be spoken: a fifth of its letters are vowels, and no five consonants follow each other."""
    vowels = len(re.findall(rb"[aeiouyAEIOUY]", word))
    return vowels >= 0.2 * len(word) and not re.search(rb"[^aeiouyAEIOUY]{5}", word)


def is_generated_password(value: bytes) -> bool:
    """Whether a value mixes letters with four or more different signs, and is neither prose nor a pattern."""
    signs = set(_SYMBOLS.findall(value))
    return (
        len(value) >= 10
        and len(signs) >= 4
        and not re.search(rb"\s", value)
        and sum(chr(byte).isalnum() for byte in value) >= 0.5 * len(value)
    )


def is_bare_password(value: bytes) -> bool:
    """Whether a value without quotes is a generated password, and no expression, in which brackets come in pairs."""
    if not is_generated_password(value) or len(set(_SYMBOLS.findall(_BRACKET.sub(b"", value)))) < 3:
        return False
    rest = value
    while (shorter := _BRACKET_PAIR.sub(b"", rest)) != rest:
        rest = shorter
    has_brackets = _BRACKET.search(value) is not None
    return _BRACKET.search(rest) is not None if has_brackets else has_letter_and_digit(value)


def has_letter_and_digit(value: bytes) -> bool:
    """Whether a value has at least one letter and one digit."""
    return _LETTER_AND_DIGIT.search(value) is not None
