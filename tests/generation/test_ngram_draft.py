"""Draft tokens from the text itself, against a linear search."""

from hypothesis import given
from hypothesis import strategies as st

from cllm.generation.predict.ngram_draft import MAX_MATCH, MIN_MATCH, NgramDrafter


def reference_draft(tokens: list[int], max_tokens: int) -> list[int]:
    """The tokens after the last earlier occurrence of the final n-gram, found by a linear search."""
    for begin in range(len(tokens) - 1, MIN_MATCH - 1, -1):
        match_length = 0
        while match_length < min(MAX_MATCH, begin) and tokens[begin - 1 - match_length] == tokens[-1 - match_length]:
            match_length += 1
        if match_length >= MIN_MATCH:
            return tokens[begin : begin + min(max_tokens, match_length - MIN_MATCH + 1)]
    return []


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(0, 9), st.integers(0, 60))
def test_drafts_equal_a_linear_search_also_after_rewind(
    tokens: list[int], max_tokens: int, rewound_length: int
) -> None:
    text = NgramDrafter()
    for length, token in enumerate(tokens, 1):
        text.accept(token)
        assert text.draft(max_tokens) == reference_draft(tokens[:length], max_tokens)
    text.rewind(min(rewound_length, len(tokens)))
    assert text.draft(max_tokens) == reference_draft(tokens[:rewound_length], max_tokens)


def test_longer_match_gives_a_longer_draft() -> None:
    assert NgramDrafter([1, 2, 3, 9, 2, 3]).draft(4) == []
    assert NgramDrafter([1, 2, 3, 9, 8, 7, 1, 2, 3]).draft(4) == [9]
    assert NgramDrafter([*range(8), 9, 8, 7, 6, *range(8)]).draft(4) == [9, 8, 7, 6]
