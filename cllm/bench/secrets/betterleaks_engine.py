"""Betterleaks' process, with its embedded rules; it validates nothing."""

import betterleaks

from cllm.bench.secrets.judge import judge_standard_input, overwritten


def redact_text(text: str) -> str:
    """`text` without what Betterleaks finds."""
    return overwritten(text, (found.match.value or found.match.full for found in betterleaks.scan_string(text)))


def main() -> None:
    judge_standard_input(redact_text)


if __name__ == "__main__":
    main()
