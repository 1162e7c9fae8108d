"""Validity of completions, and the summary with and without the guide."""

from types import SimpleNamespace
from typing import Any

import pytest

from cllm.evaluation.rest_of_line import LineCursor
from cllm.evaluation.validity import Trial, is_valid_completion, summary_of

TEXT = b"int f(int x) {\n  if (x) {\n    g(x);\n  }\n  return 0;\n}\n"


def trial(is_middle: bool, line: bytes = b"if (x) {") -> Trial:
    begin = TEXT.index(line) + 3
    return Trial(cursor=LineCursor(document=0, begin=begin, end=TEXT.index(b"\n", begin)), is_middle=is_middle)


@pytest.mark.parametrize(
    ("generated", "in_the_middle", "at_the_end"),
    [
        (b"(x) {", True, True),
        (b"(y && g(x)) {", True, True),
        (b"(x)", False, True),  # unmatched bracket in the middle; at the end, a statement may follow
        (b"(x) { g(", False, True),
        (b"x) {", False, False),
        (b"(x) { } )", False, False),
        (b"", False, False),
        (b"  ", False, False),
    ],
)
def test_valid_completion_adds_no_errors(generated: bytes, in_the_middle: bool, at_the_end: bool) -> None:
    document: Any = SimpleNamespace(path="a.c")
    assert is_valid_completion(document, TEXT, trial(True), generated) is in_the_middle
    assert is_valid_completion(document, TEXT, trial(False), generated) is at_the_end


def test_earlier_errors_of_the_file_do_not_count() -> None:
    text_with_error = b"int h( {\n" + TEXT
    original = trial(True).cursor
    shifted = Trial(cursor=LineCursor(document=0, begin=original.begin + 9, end=original.end + 9), is_middle=True)
    document: Any = SimpleNamespace(path="a.c")
    assert is_valid_completion(document, text_with_error, shifted, b"(x) {")


def test_summary_compares_results_with_and_without_guide() -> None:
    def found(valid: bool, tokens: int) -> dict[str, Any]:
        text = "x" if valid else " "
        return {
            "valid": valid,
            "exact": valid,
            "tokens": tokens,
            "stopped_early": not valid,
            "seconds": 1.0,
            "text": text,
        }

    pairs = [
        {"valid": found(True, 4), "valid_without_guide": found(False, 8)},
        {"valid": found(True, 6), "valid_without_guide": found(True, 2)},
    ]
    summary = summary_of(pairs)
    assert (summary["valid"], summary["valid_without_guide"]) == (1.0, 0.5)
    assert (summary["silent"], summary["valid_of_shown"]) == (0.0, 1.0)
    half = summary_of([pairs[0], {**pairs[1], "valid": found(False, 0)}])
    assert (half["valid"], half["silent"], half["valid_of_shown"]) == (0.5, 0.5, 1.0)
    assert summary_of([{**pairs[1], "valid": found(False, 0)}])["valid_of_shown"] is None
    assert (summary["median_tokens"], summary["median_tokens_without_guide"]) == (5, 5)
    assert (summary["exact_match"], summary["stopped_early"]) == (1.0, 0.0)
