"""Find all secrets of a text, and overwrite them."""

from collections import Counter
from collections.abc import Iterator

from cllm.corpus.redact import assigned, connections, key_blocks, services
from cllm.corpus.redact.assigned import assigned_secrets
from cllm.corpus.redact.connections import connection_secrets
from cllm.corpus.redact.formats import FORMATS
from cllm.corpus.redact.key_blocks import key_block_secrets
from cllm.corpus.redact.secret import Secret, merged, overwrite
from cllm.corpus.redact.services import service_keys
from cllm.corpus.redact.tokens import long_words, token_secrets

# All kinds of secrets, as reports and configurations name them.
KINDS = frozenset(
    {
        *(each.kind for each in FORMATS),
        *connections.KINDS,
        *key_blocks.KINDS,
        assigned.KIND,
        services.KIND,
    },
)


def find_secrets(content: bytes) -> list[Secret]:
    """The secrets of a text, sorted by place, without overlaps; placeholders are none."""
    return list(merged(content, _all_secrets(content)))


def redact(content: bytes) -> tuple[bytes, Counter[str]]:
    """The text with its secrets overwritten, of the same length, and the number of replacements of each kind.

    A text in which a secret was overwritten is searched once more, until none is found: a replacement can free what
    overlapped with it. So redaction is idempotent.
    """
    counts: Counter[str] = Counter()
    while secrets := find_secrets(content):
        content = overwrite(content, secrets)
        counts.update(secret.kind for secret in secrets)
    return content, counts


def _all_secrets(content: bytes) -> Iterator[Secret]:
    words, lower = long_words(content), content.lower()
    yield from key_block_secrets(content)
    yield from token_secrets(content, words)
    yield from service_keys(content, words.parts)
    yield from connection_secrets(content, lower)
    yield from assigned_secrets(content, lower)
