"""Part of `make lint`: private names that have standard ones, and vague phrases, stay out.

    python tests/style/check_words.py

Names are looked for as identifiers in the package and its tests; phrases in the package, README and docs, but not in
the log, which is history.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = frozenset(  # noqa: SIM905
    """
    Nursery bear has_born birth Unfit Refused owed doubted put_away Lobby Visitor convene _keep_company _be_welcomed
    outpost side_of SIDES Moment ticket goals Numbers Turning _turn Addition Remembering NetworkSays says heard
    share_of_ones sure dearest dearest_files Decided Laid lay_out Walk stopgaps mended Surroundings
    """.split()  # noqa: SIM905
)
PREFIXES = ("MOST_", "LEAST_")
PHRASES = re.compile(
    r"\b(so many|nobody|somebody|whoever|whatever is asked|what is made of|machine that takes part|goes on behind|"
    r"passes over the repository|nothing is lost but|where no end of a form was found|adds little where|"
    r"a quarter of a minute more|what the network says|the memory reads|gradient by lot)\b",
    re.IGNORECASE,
)


def identifiers(path: Path) -> Iterator[tuple[int, str]]:
    """Line and identifier of each name in a file's code."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def problems() -> Iterator[str]:
    """Each occurrence, a line each."""
    for path in sorted([*(ROOT / "cllm").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]):
        for line, name in identifiers(path):
            if name in NAMES or name.startswith(PREFIXES):
                yield f"{path.relative_to(ROOT)}:{line}: {name} has a standard term"
    documents = [ROOT / "README.md", *(path for path in (ROOT / "docs").glob("*.md") if path.name != "LOG.md")]
    for path in sorted([*(ROOT / "cllm").rglob("*.py"), *documents]):
        for match in PHRASES.finditer(text := path.read_text()):
            yield f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: say {match[0]!r} another way"


def main() -> int:
    """Print all problems; 1 if there are any."""
    found = list(problems())
    print("\n".join(found)) if found else None
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
