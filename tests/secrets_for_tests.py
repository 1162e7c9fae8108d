"""Made-up secrets, assembled at run time, so that no file of this repository contains one."""

import random
import string
from base64 import urlsafe_b64encode

BASE62 = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
BASE32 = string.ascii_uppercase + "234567"


def random_string(length: int, alphabet: str = BASE62, seed: int = 7) -> str:
    return "".join(random.Random(seed * 1000 + length).choices(alphabet, k=length))


def key_lines(count: int = 20, width: int = 64) -> str:
    return "\n".join(random_string(width, BASE62 + "+/", seed) for seed in range(count))


def pem(kind: str = "RSA ", end: bool = True) -> str:
    tail = f"\n-----END {kind}PRIVATE KEY-----\n" if end else "\n"
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{key_lines()}{tail}"


def uuid(seed: int = 7) -> str:
    return "-".join(random_string(length, HEX, seed) for length in (8, 4, 4, 4, 12))


def web_token(header: bytes = b'{"alg":"HS256","typ":"JWT"}') -> str:
    return urlsafe_b64encode(header).decode().rstrip("=") + ".ey" + "J" + random_string(60) + "." + random_string(43)


# kind -> tokens of it
TOKENS = {
    "AWS key": ["AK" + "IA" + random_string(16, BASE32), "AS" + "IA" + random_string(16, BASE32)],
    "GitHub token": [
        *(f"gh{letter}_" + random_string(36) for letter in "pousr"),
        "gh" + "s_123456_" + web_token(),  # since April 2026
        "github_" + "pat_" + random_string(22) + "_" + random_string(59),
    ],
    "GitLab token": [
        "gl" + "pat-" + random_string(20),
        "gl" + "pat-" + random_string(27) + ".01." + random_string(7, HEX),  # routable
        "gl" + "cbt-64_" + random_string(20),
        "gl" + "oas-" + random_string(64),
        "gl" + "agent-" + random_string(50),
    ],
    "Slack token": [
        "xo" + "xb-" + random_string(12, string.digits) + "-" + random_string(24),
        "xo" + "xe.xo" + "xp-1-" + random_string(80),
        "xa"
        + "pp-1-A"
        + random_string(10, BASE32)
        + "-"
        + random_string(13, string.digits)
        + "-"
        + random_string(64, HEX),
    ],
    "Slack webhook": ["https://hooks.sl" + "ack.com/services/T" + random_string(44)],
    "chat webhook": ["https://discord.com/api/web" + "hooks/123456789012345678/" + random_string(68)],
    "Google key": ["AI" + "za" + random_string(35), "GO" + "CSPX-" + random_string(28)],
    "Stripe key": ["sk" + "_live_" + random_string(24), "rk" + "_test_" + random_string(24)],
    "payment key": ["wh" + "sec_" + random_string(32)],
    "npm token": ["np" + "m_" + random_string(36)],
    "PyPI token": ["py" + "pi-AgE" + random_string(160)],
    "Hugging Face token": ["h" + "f_" + random_string(34)],
    "model service key": [
        "s" + "k-proj-" + random_string(48),
        "s" + "k-ant-api03-" + random_string(93) + "AA",
        "gs" + "k_" + random_string(52),
        "e2" + "b_" + random_string(40, HEX),
        "xa" + "i-" + random_string(80),
    ],
    "JSON web token": [web_token()],
    "Azure key": [random_string(3) + "8" + "Q~" + random_string(34)],
    "Azure signature": ["https://a.example.net/c?sv=2024&si" + "g=" + random_string(43) + "%3D"],
    "Telegram token": ["12345678:A" + "A" + random_string(33)],
    "Vault token": ["hv" + "s." + random_string(90), "hv" + "b." + random_string(140)],
    "SendGrid key": ["S" + "G." + random_string(22) + "." + random_string(43)],
    "DigitalOcean token": ["do" + "p_v1_" + random_string(64, HEX)],
    "Shopify token": ["shp" + "at_" + random_string(32, HEX)],
    "Grafana token": [
        "gl" + "sa_" + random_string(32) + "_" + random_string(8, HEX),
        "eyJr" + "Ijoi" + random_string(80),
    ],
    "Fly.io token": ["fm" + "2_" + random_string(120, BASE62 + "+/") + "A"],
    "Nightfall key": ["N" + "F-" + random_string(32)],
    "HubSpot token": ["pa" + "t-na1-" + uuid()],
    "Voiceflow key": ["V" + "F.DM." + random_string(24, HEX) + "." + random_string(16)],
    "Telnyx key": ["K" + "EY" + random_string(55)],
    "webhook": ["https://hooks.zapier.com/hoo" + "ks/catch/1234567/" + random_string(16).lower()],
    "cloud key": ["https://api.softlayer.com/rest/v" + "3.1/" + random_string(64, HEX)],
    "device token": ["https://thingsboard.example.org/api/" + "v1/" + random_string(20) + "/telemetry"],
    "age key": ["AGE-SECRET" + "-KEY-1" + random_string(58, BASE32)],
    "Twilio key": ["S" + "K" + random_string(32, HEX)],
    "Databricks token": ["da" + "pi" + random_string(32, HEX) + "-2"],
    "Doppler token": ["dp" + ".pt." + random_string(43)],
    "Linear token": ["lin_" + "api_" + random_string(40)],
    "Notion token": ["nt" + "n_" + random_string(46), "sec" + "ret_" + random_string(43)],
    "Figma token": ["fig" + "d_" + random_string(40)],
    "Supabase key": ["sb" + "p_" + random_string(40, HEX), "sb_" + "secret_" + random_string(31)],
    "Vercel token": ["vc" + "p_" + random_string(56)],
    "Cloudflare token": [
        "v1" + ".0-" + random_string(24, HEX) + "-" + random_string(146, HEX),
        "cf" + "ut_" + random_string(48),
    ],
}
