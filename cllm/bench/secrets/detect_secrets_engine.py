"""detect-secrets' process, with its default plugins and filters, but for verification, which would use the network."""

import tempfile
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

from cllm.bench.secrets.judge import judge_standard_input, overwritten

_VERIFICATION = "detect_secrets.filters.common.is_ignored_due_to_verification_policies"


def redact_text(text: str) -> str:
    """`text` without what detect-secrets finds in a file of it."""
    with tempfile.TemporaryDirectory(prefix="cllm-bench-") as folder, default_settings() as settings:
        settings.disable_filters(_VERIFICATION)
        file = Path(folder) / "sample.txt"
        file.write_text(text, encoding="utf-8")
        return overwritten(text, {found.secret_value or "" for found in scan_file(str(file))})


def main() -> None:
    judge_standard_input(redact_text)


if __name__ == "__main__":
    main()
