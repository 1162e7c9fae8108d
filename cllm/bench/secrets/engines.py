"""The engines that are compared: for each the module that it imports, and the sources whose rules are its own."""

from typing import NamedTuple


class Engine(NamedTuple):
    """An engine: the module that it imports, that of its process, and the sources that it is not judged on."""

    module: str
    process: str
    own_sources: frozenset[str]


ENGINES = {
    "cllm": Engine("cllm", "cllm_engine", frozenset()),
    "betterleaks": Engine("betterleaks", "betterleaks_engine", frozenset({"gitleaks", "betterleaks"})),
    "kingfisher": Engine("kingfisher_sdk", "kingfisher_engine", frozenset({"kingfisher"})),
    "detect-secrets": Engine("detect_secrets", "detect_secrets_engine", frozenset({"detect-secrets"})),
}
