"""Redaction of secrets. All secrets are generated at run time, so that this file contains none."""

import time
from base64 import b64encode
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from secrets_for_tests import HEX, TOKENS, key_lines, pem, random_string, uuid, web_token

from cllm.corpus.redact import KINDS, find_secrets, overwrite, redact


@pytest.mark.parametrize("kind", TOKENS)
def test_service_tokens_are_redacted_in_every_context(kind: str) -> None:
    for token in TOKENS[kind]:
        for template in ("value = {}\n", 'call("{}")', "# {}", "{}", '"a\\n{}\\nb"', "<b>{}</b>", "[x]({})"):
            text = template.format(token).encode()
            clean, counts = redact(text)
            assert set(counts) == {kind}, (template, counts)
            assert len(clean) == len(text) and token[-16:].encode() not in clean


def test_kinds_of_the_formats_are_known() -> None:
    assert TOKENS.keys() <= KINDS


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
    everything = "\n".join(
        [*(token for tokens in TOKENS.values() for token in tokens), pem(), f'password = "{random_string(20)}"']
    ).encode()
    once, counts = redact(everything)
    assert counts.total() == sum(map(len, TOKENS.values())) + 2
    assert redact(once) == (once, Counter())


@given(
    st.lists(
        st.sampled_from(
            [
                *(token for tokens in TOKENS.values() for token in tokens),
                'password = "',
                '"',
                "\n",
                "-",
                "x",
                "A1b2",
                pem(),
                "://a:",
                "@b",
            ]
        )
    )
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
        b"//a/:_authToken=" * 10_000,
        b"kind: Secret\n---\ndata:\n" * 5_000,
        b"machine login a password " * 5_000,
        b"Private-Lines: 9999\n" * 5_000,
        b"LS0tLS1CRUdJTi" * 10_000,
        b"Ma.b" * 30_000,
        b"secret {\n a =\n" * 10_000,
        b'token "' + b"{" + b" " * 100_000,
        b"BUNDLE_A__B" * 10_000,
        b"openuv 0123456789abcdef0123456789abcdef\n" * 20_000,
        b"openuv " + b"openuv_key_" * 10_000 + b"0123456789abcdef0123456789abcdef",
        b"".join(b"openuv %032x\n" % number for number in range(20_000)),
    ],
)
def test_redaction_time_is_bounded(hostile: bytes) -> None:
    began = time.process_time()
    redact(hostile)
    assert time.process_time() - began < 2


HIDDEN = [  # before the secret, the secret, behind it
    ("AccountName=acct;AccountKey=", random_string(86) + "==", ";EndpointSuffix=core.windows.net"),
    ("Server=db.example.org;User Id=svc;Password=", random_string(16), ";Encrypt=True"),
    ("jdbc:mysql://db.example.org/shop?user=root&password=", random_string(16), "&useSSL=true"),
    ("redis://:", random_string(16), "@cache.example.org:6379/0"),
    ("amqp://svc:", random_string(12), "@mq.example.org/vhost"),
    ("aws_secret_access_key: ", random_string(40), "  # production"),
    ("run: AWS_SECRET_ACCESS_KEY=", random_string(40), " aws s3 ls"),
    ("<password>", random_string(16), "</password>"),
    ("<serviceToken>\n    ", random_string(32), "\n</serviceToken>"),
    ('<add key="Password" value="', random_string(16), '" />'),
    ("login: tool --password ", random_string(16), " --quiet"),
    ("tool --api-key=", random_string(24), " run"),
    ('curl -H "Authorization: Bearer ', random_string(40), '" https://example.org'),
    ("curl -u developer:", random_string(16), " https://example.org/"),
    ('{"config.ini": "SERVICE_TOKEN=', random_string(24), '\\nBACKUP=true"}'),
    ('"{\\"password\\": \\"', random_string(16), '\\"}"'),
    ('System.setProperty("SERVICE_TOKEN", "', random_string(32), '")'),
    ('if ("', random_string(20), '" == password) {'),
    ("SERVICE_TOKEN ?= ", random_string(32), "\n"),
    ("'service_token' => '", random_string(32), "',"),
    ("PrivateKey = ", random_string(43) + "=", "\nDNS = 10.0.0.1"),
    ("private_token: |\n  ", random_string(32), "\n"),
    ("CREATE USER a IDENTIFIED BY '", random_string(16), "';"),
    ("machine api.example.org login svc password ", random_string(16), "\n"),
    ("requests.get(url, auth=('svc', '", random_string(16), "'))"),
    ('secret = """', random_string(40), '"""'),
    ("//registry.example.org/:_authToken=", random_string(36), "\n"),
    ("DB_PASSWORD=", "m{h}o)p${e]nob(ody[f9nds>#th", "\n"),
    ("account-SECRET-", random_string(32), "\n"),
    ("account-secret-", uuid(), "\n"),
    ("clientSECRETkey ", random_string(40), "\n"),
    ("openweather = '", random_string(32, HEX), "'"),
    ('upload("artifactory", "', random_string(64), '")'),
    ("mvn -Dsonar.login=", random_string(40, HEX), " verify"),
    ("TRELLO_TOKEN=", "b3kd9vwq7xtnhz", "\n"),
    ("Token: ", random_string(16, HEX, seed=1), "\n"),
    ("openuv_api_key: ", uuid(), "\n"),
    ("BUNDLE_GEMS__EXAMPLE__ORG: ", "a1b2c3d4:e5f6a7b8", "\n"),
    ('variable "api_token" {\n  type    = string\n  default = "', random_string(40), '"\n}\n'),
    ('{"method": "auth.login_with_api_key", "params": ["', "7-" + random_string(64), '"]}'),
    ("//registry.example.org/:_authToken= ", uuid(), "\n"),
    ('curl -H "Authorization: Basic ', random_string(60), '" https://example.org'),
    ('DB_PASSWORD = "', "winter$song", '"\n'),
    ('admin_password: "', "Regen2019", '"\n'),
    ('user_password = "', "Pass%12!&x", '"\n'),
    ('<add key="ClearTextPassword" value="', "OnlyWords", '" />'),
    ('System.setProperty("SERVICE_TOKEN", "', random_string(32, "0123456789"), '")'),
    ('{"kty":"EC","crv":"P-256","d":"', random_string(43), '","x":"public"}'),
]


@pytest.mark.parametrize(("before", "secret", "behind"), HIDDEN)
def test_secret_is_redacted_and_what_stands_around_it_is_kept(before: str, secret: str, behind: str) -> None:
    clean, counts = redact((before + secret + behind).encode())
    assert counts.total() == 1
    assert clean.startswith(before.encode()) and clean.endswith(behind.encode())
    assert secret[:12].encode() not in clean and secret[-8:].encode() not in clean


@pytest.mark.parametrize(
    "line",
    [
        'OAUTH_TOKEN_URL = "https://login.example.org/oauth2/v2.0/token"',
        'TOKEN_CACHE_FILE = "cache/tok32k_v2/bpe_10k.json"',
        'TOKENIZER = "org/model-7b-v0.1-4bit"',
        f'PASSWORD_LIST_SHA256 = "{random_string(64, "0123456789abcdef")}"',
        'SECRET_NAME = "prod/db2/main-v1"',
        'password_hint = "forms.login.v2.hint1"',
        'SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db-a1b2c3"',
        'private_key_path = "/etc/ssl/private/server01-2024a.key"',
        'password = get_secret("db/prod2/main1")',
        f'get_api_key("{random_string(24)}")',
        'TOKEN_IDENT1 = "IDENT_1A2B"',
        'API_KEY = "<your-api-key-1234>"',
        f"const row = {{ tokenizationId: '{random_string(32, '0123456789abcdef')}' }};",
        "const token = { tokenId: '77cb7c4a-1234-4abc-9def-2f029f260309' };",
        "session_token: 77cb7c4a-1234-4abc-9def-2f029f260309",
        f"const token = '0x{random_string(40, '0123456789abcdef')}';",
        f'"integrity": "sha512-{random_string(86)}==",',
        f'public_key = "{random_string(43)}"',
        f'"cache_key": "{random_string(32, "0123456789abcdef")}"',
        'token = r"[-!#$%&\'*+.^_`|~0-9a-zA-Z]+"',
        'password = "%s" % password1234',
        "per_token_cast_to_fp8=per_token_cast_to_fp8,",
        "cpu_dispatch_key = c10::DispatchKey::CPU);",
        'const validKeyChars = "0123456789abcdefghijklmnopqrstuvwxyz_-."',
        "r zadd mykey 9.8813129168249309e-323 $j",
        "passwd 1:4.13+dfsg1-1+deb12u1",
        '"GPTBigCodeForCausalLM", "KeyAnyToAnyPipeline3",',
        'out = {"tokens": logits.argmax(dim=-1)}',
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "secret: !secret wifi_password_2",
        "token_model: 'meta-llama/Llama-3.2-1B-Instruct-Q4_K_M'",
        "password_hash = '$2b$12$KIXQ2v0Jm3b4sTq8Vw1tUe'",
        "const passwordLabel = t('auth.login.password2.label')",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7vbqajDRaVSLjhpYk3pkM user@host",
        "-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n",
        "Authorization: Basic YWRtaW46cGFzc3dvcmQ=",  # admin:password
        f"openweather: {random_string(40, HEX)}",  # as the checksum of a package in a lock file
        f"airtable {random_string(24, HEX)}",
        "openweather = '0123456789abcdefghijklmnop'",
        f'telegram_token = "123456789:{random_string(37)}"',
        f'aws_secret_access_key = "{random_string(42)}"',
        f"secret_access_key = {random_string(48, HEX)}extra",
        f"ibm_api_key = '{random_string(49)}'",
        web_token(b'{"alg":"HS256"'),
        "AI" + "zaSyabcdefghijklmnopqrstuvwxyz1234567",
        "sk" + "-ant-api03-" + random_string(93) + "BB",
        "gl" + "oas-" + random_string(68),
        'password: "password2"',
        "password: 'Password!'",
        'password = "prefix$PASSWORD"',
        'password = "#{password1}"',
        'password = "forms.login2"',
        '<add key="ClearTextPassword" value="%NUGET_PASSWORD%" />',
        '<input name="password" value="type-it-here">',
        "gpg: using RSA key 7B1C90E4D2A6F358",
        "Release Signing Key 0x7b1c90e4d2a6f358",
        "    def complete(self, Token: AbcDefGhiJkl): ...",
        f"secret_id: {uuid()}",
        "BUNDLE_MIRROR__HTTPS: https://gems.example.org/",
        "ghp_" + "x" * 36,
        "AK" + "IAIOSFODNN7EXAMPLE",
    ],
)
def test_what_is_no_secret_is_kept(line: str) -> None:
    assert redact(line.encode()) == (line.encode(), Counter())


def test_cut_off_key_is_redacted_to_its_last_line() -> None:
    text = pem(end=False) + "def f():\n    return 1\n"
    clean, counts = redact(text.encode())
    assert counts == {"private key": 1} and clean.endswith(b"\ndef f():\n    return 1\n")
    assert set(b"".join(clean.split(b"\n")[1:21])) <= set(b"xX0+/")


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----", "---- END SSH2 ENCRYPTED PRIVATE KEY ----"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----"),
        ("-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----END PGP PRIVATE KEY BLOCK-----"),
    ],
)
def test_keys_of_every_head_are_redacted(head: str, tail: str) -> None:
    clean, counts = redact(f"{head}\n{key_lines()}\n{tail}\n".encode())
    lines = clean.decode().split("\n")
    assert counts == {"private key": 1} and (lines[0], lines[-2]) == (head, tail)
    assert set("".join(lines[1:-2])) <= set("xX0+/")


def test_public_lines_of_a_putty_key_are_kept() -> None:
    public = "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: key\nPublic-Lines: 2\n" + key_lines(2) + "\n"
    private = f"Private-Lines: 3\n{key_lines(3)}\nPrivate-MAC: {random_string(64, '0123456789abcdef')}\n"
    clean = redact((public + private).encode())[0].decode()
    assert clean.startswith(public) and set(clean[len(public) :].split("\n")[1]) <= set("xX0+/")
    assert "Private-Lines: 3\n" in clean and random_string(64, "0123456789abcdef") not in clean


def test_values_of_a_kubernetes_secret_are_redacted_and_those_of_a_map_kept() -> None:
    value = random_string(24)
    secret = f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\ndata:\n  tls.crt: {value}\n"
    assert redact(secret.encode())[1] == {"Kubernetes secret": 1}
    assert redact(secret.replace("kind: Secret", "kind: ConfigMap").encode())[1] == {}


def test_encoded_private_key_is_redacted_and_an_encoded_certificate_kept() -> None:
    key = b64encode(pem().encode()).decode()
    clean, counts = redact(f"client-key-data: {key}\n".encode())
    assert counts == {"private key": 1} and key[40:80].encode() not in clean
    certificate = b64encode(f"-----BEGIN CERTIFICATE-----\n{key_lines()}\n".encode())
    assert redact(b"certificate-authority-data: " + certificate)[1] == {}


@given(st.binary(max_size=300))
def test_any_bytes_are_redacted_idempotently_with_their_lines(content: bytes) -> None:
    once, _ = redact(content)
    assert len(once) == len(content) and once.count(b"\n") == content.count(b"\n")
    assert redact(once) == (once, Counter())


PIECES = [
    "password",
    "_key",
    "token",
    "secret",
    " = ",
    ": ",
    '"',
    "'",
    "\n",
    "\\n",
    "(",
    ")",
    "==",
    "://",
    ":",
    "@",
    "<",
    ">",
]


@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from([each[0] for each in TOKENS.values()])), max_size=20)
)
def test_secrets_in_any_order_are_redacted_idempotently(parts: list[str]) -> None:
    content = "".join(parts).encode()
    found = find_secrets(content)
    assert all(one.end <= other.start for one, other in zip(found, found[1:], strict=False))
    once = redact(overwrite(content, found))[0]
    assert len(once) == len(content) and redact(once) == (once, Counter())
