"""What a text proposes by itself."""

from hypothesis import given
from hypothesis import strategies as st

from cllm.generation.repeats import LEAST, MOST, Repeats


def slow(tokens: list[int], most: int) -> list[int]:
    """The last place before the end where the last tokens are the same, looked for from the end."""
    for at in range(len(tokens) - 1, LEAST - 1, -1):
        same = 0
        while same < min(MOST, at) and tokens[at - 1 - same] == tokens[-1 - same]:
            same += 1
        if same >= LEAST:
            return tokens[at : at + min(most, same - LEAST + 1)]
    return []


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(0, 9), st.integers(0, 60))
def test_the_index_and_its_slow_twin_agree_on_the_way_and_back(tokens: list[int], most: int, back: int) -> None:
    text = Repeats()
    for length, token in enumerate(tokens, 1):
        text.accept(token)
        assert text.draft(most) == slow(tokens[:length], most)
    text.back_to(min(back, len(tokens)))
    assert text.draft(most) == slow(tokens[:back], most)


def test_the_longer_the_same_the_more_is_proposed() -> None:
    assert Repeats([1, 2, 3, 9, 2, 3]).draft(4) == []
    assert Repeats([1, 2, 3, 9, 8, 7, 1, 2, 3]).draft(4) == [9]
    assert Repeats([*range(8), 9, 8, 7, 6, *range(8)]).draft(4) == [9, 8, 7, 6]
