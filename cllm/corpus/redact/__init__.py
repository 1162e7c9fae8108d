"""Redact secrets before training: a model trained on a repository for many epochs memorises its keys.

    formats      the token formats that services publish, by their prefixes
    key_blocks   key files: PEM, SSH2, PuTTY, JSON web keys, also those cut off before their end
    connections  passwords in URLs, authorization headers, logins of `curl`, data of Kubernetes secrets
    assigned     random-looking values that are assigned or passed to a name like `password` or `api_key`
    services     random text directly behind the name of a service, `chartmogul: 4f1c...`
    passwords    passwords that people wrote, where the name and the form leave no doubt
    names, values   whether a name stands for a secret; whether a value is one, or a path, a hash, a placeholder
    lengths      values that have the form of a documented key, but not its length

Each secret is overwritten by a placeholder of the same length and shape (a letter becomes `x` or `X`, a digit `0`, the
rest stays), so the code around it is unchanged: quotes, escapes, lines and columns are the same. Redaction is
idempotent. It needs the text alone: nothing is sent anywhere to find out whether a key is live.

Not covered: secrets that are words alone (passphrases, `password = "sesame"`), which are examples more often; the
alphabet and values with an example's mark; UUIDs of names that say no more than `token`; and random values that no
name, prefix or place marks as secret, which are more often hashes than keys.
"""

from cllm.corpus.redact.find import KINDS, find_secrets, redact
from cllm.corpus.redact.secret import Secret, overwrite

__all__ = ["KINDS", "Secret", "find_secrets", "overwrite", "redact"]
