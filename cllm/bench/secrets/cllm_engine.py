"""Our redaction's process."""

from cllm.bench.secrets.judge import judge_standard_input
from cllm.corpus.redact import redact


def redact_text(text: str) -> str:
    """`text` as the corpus has it."""
    return redact(text.encode())[0].decode()


def main() -> None:
    judge_standard_input(redact_text)


if __name__ == "__main__":
    main()
