"""What a text proposes by itself."""

from hypothesis import given
from hypothesis import strategies as st

from cllm.generation.predict.ngram_draft import MAX_MATCH, MIN_MATCH, NgramDrafter


def slow(tokens: list[int], max_tokens: int) -> list[int]:
    """The last place before the end where the last tokens are the same, looked for from the end."""
    for begin in range(len(tokens) - 1, MIN_MATCH - 1, -1):
        match_length = 0
        while match_length < min(MAX_MATCH, begin) and tokens[begin - 1 - match_length] == tokens[-1 - match_length]:
            match_length += 1
        if match_length >= MIN_MATCH:
            return tokens[begin : begin + min(max_tokens, match_length - MIN_MATCH + 1)]
    return []


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(0, 9), st.integers(0, 60))
def test_the_index_and_its_slow_twin_agree_on_the_way_and_back(tokens: list[int], max_tokens: int, back: int) -> None:
    text = NgramDrafter()
    for length, token in enumerate(tokens, 1):
        text.accept(token)
        assert text.draft(max_tokens) == slow(tokens[:length], max_tokens)
    text.rewind(min(back, len(tokens)))
    assert text.draft(max_tokens) == slow(tokens[:back], max_tokens)


def test_the_longer_the_same_the_more_is_proposed() -> None:
    assert NgramDrafter([1, 2, 3, 9, 2, 3]).draft(4) == []
    assert NgramDrafter([1, 2, 3, 9, 8, 7, 1, 2, 3]).draft(4) == [9]
    assert NgramDrafter([*range(8), 9, 8, 7, 6, *range(8)]).draft(4) == [9, 8, 7, 6]
