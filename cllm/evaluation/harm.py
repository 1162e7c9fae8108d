"""Judges a suggestion in a gap: whether it is the missing text, and whether it does harm.

A suggestion does harm if it repeats what stands beside it, closes what the text to the right closes, makes a name that
does not occur in the repository, leaves a syntax error, or has line ends that the file has not. No suggestion does no
harm.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cllm.evaluation.gaps import Gap
from cllm.syntax.closing import find_closing
from cllm.syntax.delimiters import num_closed, scan_delimiters
from cllm.syntax.error_count import count_errors
from cllm.syntax.file_language import language_of_file
from cllm.syntax.words import first_word, is_word_byte, last_word

MIN_REPEATED_BYTES = 2  # of the rest of the line: a single bracket may end both texts


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Judgement of one suggestion; `harm` is the fault that was found first, or empty."""

    is_exact: bool
    is_silent: bool
    repeats_neighbour: bool
    harm: str


def judge_suggestion(
    gap: Gap, text: bytes, path: str, suggested: bytes, is_known_name: Callable[[bytes], bool]
) -> Verdict:
    """Judge `suggested` in a gap of a document's text; all with LF line ends.

    `is_known_name`: whether a name occurs in the repository.
    """
    before, expected, after = gap.split(text)
    if not suggested.strip():
        return Verdict(is_exact=False, is_silent=True, repeats_neighbour=False, harm="")
    if suggested.rstrip() == expected.rstrip():
        return Verdict(is_exact=True, is_silent=False, repeats_neighbour=False, harm="")
    repeats = repeats_neighbour(before, suggested, after)
    checks: dict[str, Callable[[], bool]] = {
        "repeats": lambda: repeats or repeats_rest(expected, suggested, after),
        "closes": lambda: gap.kind == "before_closing" and closes_outer(before, suggested),
        "breaks a name": lambda: breaks_name(before, suggested, after, is_known_name),
        "leaves an error": lambda: leaves_error(gap, text, path, suggested),
    }
    harm = next((name for name, check in checks.items() if check()), "")
    return Verdict(is_exact=False, is_silent=False, repeats_neighbour=repeats, harm=harm)


def repeats_neighbour(before: bytes, suggested: bytes, after: bytes) -> bool:
    """Whether a suggested line is the line above or below the cursor, leading and trailing blanks aside.

    That is: the first or last suggested line is the next line that is not blank, or the first one is the one above.
    """
    rest, _, below = after.partition(b"\n")
    current = before.rpartition(b"\n")[2]
    if rest.strip() or current.strip():
        return False
    lines = [line.strip() for line in suggested.strip().split(b"\n")]
    next_line = below.lstrip().partition(b"\n")[0].strip()
    line_above = before.rstrip().rpartition(b"\n")[2].strip()
    return bool(next_line and next_line in (lines[0], lines[-1])) or bool(line_above and line_above == lines[0])


def repeats_rest(expected: bytes, suggested: bytes, after: bytes) -> bool:
    """Whether a suggestion ends with the rest of its line, and the missing text does not."""
    rest = after.partition(b"\n")[0].strip()
    ends_with_rest = len(rest) >= MIN_REPEATED_BYTES and suggested.rstrip().endswith(rest)
    return ends_with_rest and not expected.rstrip().endswith(rest)


def closes_outer(before: bytes, suggested: bytes) -> bool:
    """Whether a suggestion closes a bracket, quote or comment that was opened before the cursor on its line."""
    return num_closed(scan_delimiters(before[before.rfind(b"\n") + 1 :]), suggested) > 0


def breaks_name(before: bytes, suggested: bytes, after: bytes, is_known_name: Callable[[bytes], bool]) -> bool:
    """Whether a suggestion joins the text to the right to a name that is not known, or splits the name around it."""
    if not (after and is_word_byte(after[0])):
        return False
    if before and is_word_byte(before[-1]) and not all(is_word_byte(byte) for byte in suggested):
        return True
    if not is_word_byte(suggested[-1]):
        return False
    return not is_known_name(last_word(before + suggested) + first_word(after))


def leaves_error(gap: Gap, text: bytes, path: str, suggested: bytes) -> bool:
    """Whether the file with the suggestion has more syntax errors than the original file.

    A suggestion for several lines may fill them in part, so it may have as many as the file with the gap. At the end
    of a file, a text that can be closed without errors is right, too.
    """
    language = language_of_file(path, text)
    if language is None:
        return False
    before, _, after = gap.split(text)
    allowed = count_errors(language, text)
    if gap.kind == "lines":
        allowed = max(allowed, count_errors(language, before + after))
    if count_errors(language, before + suggested + after) <= allowed:
        return False
    return bool(after.strip()) or find_closing(language, before + suggested, count_errors(language, before)) is None
