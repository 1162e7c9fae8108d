"""The common prefix of two texts."""

import os.path

from hypothesis import given
from hypothesis import strategies as st

from cllm.syntax.edited_tree import common_length


@given(st.binary(max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_common_length_equals_a_search_byte_by_byte(start: bytes, one: bytes, other: bytes) -> None:
    texts = (start + one, start + other)
    assert common_length(*texts) == len(os.path.commonprefix(texts))
