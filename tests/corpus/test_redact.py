"""Redaction of secrets. All secrets are generated at run time, so that this file contains none."""

import random
import string
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.corpus.redact import redact

BASE62 = string.ascii_letters + string.digits


def random_string(length: int, alphabet: str = BASE62, seed: int = 7) -> str:
    return "".join(random.Random(seed * 1000 + length).choices(alphabet, k=length))


def pem(kind: str = "RSA ") -> str:
    lines = "\n".join(random_string(64, BASE62 + "+/", seed) for seed in range(20))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----\n"


SECRETS = {
    "AWS key": "AK" + "IA" + random_string(16, string.ascii_uppercase + "234567"),
    "GitHub token": "gh" + "p_" + random_string(36),
    "GitLab token": "gl" + "pat-" + random_string(20),
    "Slack token": "xo" + "xb-" + random_string(12, string.digits) + "-" + random_string(24),
    "Google key": "AI" + "za" + random_string(35),
    "Stripe key": "sk" + "_live_" + random_string(24),
    "npm token": "np" + "m_" + random_string(36),
    "PyPI token": "py" + "pi-AgE" + random_string(80),
    "Hugging Face token": "h" + "f_" + random_string(34),
    "model service key": "s" + "k-proj-" + random_string(48),
    "JSON web token": "ey" + "J" + random_string(30) + ".ey" + "J" + random_string(60) + "." + random_string(43),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_service_tokens_are_redacted_in_every_context(kind: str) -> None:
    for template in ("value = {}\n", 'call("{}")', "# {}", "{}", "url?x={}&y=1"):
        text = template.format(SECRETS[kind]).encode()
        clean, counts = redact(text)
        assert counts.total() >= 1 and (kind in counts), (template, counts)
        assert len(clean) == len(text) and SECRETS[kind].encode() not in clean
        assert not any(SECRETS[kind].encode()[at : at + 12] in clean for at in range(len(SECRETS[kind]) - 12))


@pytest.mark.parametrize(
    "template",
    [
        'password = "{}"',
        "'db_password': '{}',",
        "const apiKey: string = `{}`;",
        '#define API_KEY "{}"',
        'config["secret_key"] = "{}"',
        'client.set_token("{}")',
        "AUTH_TOKEN={}\n",
        "  access-key: {}\n",
        'Secret := "{}"',
        'char *token = "{}";',
    ],
)
def test_random_value_assigned_to_a_secret_name_is_redacted(template: str) -> None:
    for seed in range(20):
        secret = random_string(32, seed=seed)
        clean, counts = redact(template.format(secret).encode())
        assert counts == {"assigned secret": 1} and secret.encode() not in clean, clean


@pytest.mark.parametrize(
    "line",
    [
        b'password = "correct horse battery staple"',
        b'password = "changeme"',
        b'token = "application/x-www-form-urlencoded"',
        b"token = next_token_from_stream(position1)\n",
        b"token = self.tokenizer.next_token_2\n",
        b'secret = os.environ["MY_SECRET_2"]',
        b'api_key = "${API_KEY_1}"',
        b'token_type = "bearer"',
        b"AKIA is a prefix; ghp_ too, and sk-learn, and https://user:password@localhost/",
        b'assert "-----BEGIN PRIVATE KEY-----" in text\nx = f(1)\n' * 20,
        b'key = "0123456789abcdef0123456789abcdef"',
    ],
)
def test_ordinary_code_is_unchanged(line: bytes) -> None:
    assert redact(line) == (line, Counter())


def test_private_key_keeps_its_markers_and_line_structure() -> None:
    clean, counts = redact(b"before\n" + pem().encode() + b"after\n")
    lines = clean.split(b"\n")
    assert counts == {"private key": 1}
    assert lines[1] == b"-----BEGIN RSA PRIVATE KEY-----" and lines[-3:] == [
        b"-----END RSA PRIVATE KEY-----",
        b"after",
        b"",
    ]
    assert set(b"".join(lines[2:-3])) <= set(b"xX0+/")
    inline = ('"' + pem("").strip().replace("\n", "\\n") + '"').encode()
    assert redact(inline)[0].count(b"\\n") == inline.count(b"\\n")  # the string still parses


def test_password_in_a_url_is_redacted() -> None:
    clean, counts = redact(f"postgres://admin:{random_string(16)}@db.example.org/x".encode())
    assert counts == {"password in a URL": 1}
    assert clean.startswith(b"postgres://admin:") and clean.endswith(b"@db.example.org/x")


def test_redaction_of_all_kinds_is_idempotent() -> None:
    everything = "\n".join([*SECRETS.values(), pem(), f'password = "{random_string(20)}"']).encode()
    once, counts = redact(everything)
    assert counts.total() == len(SECRETS) + 2
    assert redact(once) == (once, Counter())


@given(
    st.lists(st.sampled_from([*SECRETS.values(), 'password = "', '"', "\n", "-", "x", "A1b2", pem(), "://a:", "@b"]))
)
def test_redaction_keeps_the_length_and_is_idempotent(parts: list[str]) -> None:
    text = "".join(parts).encode()
    once, _ = redact(text)
    assert len(once) == len(text)
    assert redact(once) == (once, Counter())


@given(st.text(max_size=200))
def test_redacted_text_is_valid_utf8(text: str) -> None:
    redact(text.encode())[0].decode()


@pytest.mark.parametrize(
    "hostile",
    [
        b"password" * 20_000,
        b"token = '" * 20_000,
        b"-----BEGIN PRIVATE KEY-----" * 5_000,
        b"eyJ" + b"a" * 100_000,
        b"://" * 50_000,
        b"secret" + b" " * 100_000,
        b"eyJaaaaaaaaaaaaaaaaaaaaa.eyJ" * 4_000,
    ],
)
def test_redaction_time_is_bounded(hostile: bytes) -> None:
    began = time.perf_counter()
    redact(hostile)
    assert time.perf_counter() - began < 2
