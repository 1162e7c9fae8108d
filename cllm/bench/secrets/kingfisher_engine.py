"""Kingfisher's process, with its built-in rules of medium confidence or more; scanning validates nothing."""

from functools import cache
from typing import Any

import kingfisher_sdk

from cllm.bench.secrets.judge import judge_standard_input, overwritten


@cache
def scanner() -> Any:
    """The scanner with all built-in rules, which take 3 s to compile."""
    return kingfisher_sdk.Scanner(kingfisher_sdk.Rules(cache=False), base64=False)


def redact_text(text: str) -> str:
    """`text` without what Kingfisher finds."""
    return overwritten(text, (found.secret for found in scanner().scan(text.encode())))


def main() -> None:
    judge_standard_input(redact_text)


if __name__ == "__main__":
    main()
