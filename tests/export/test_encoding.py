import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cllm.errors import ExportError
from cllm.export.encoding import ENCODINGS, F16, F32, Q8_0, Encoding, decode, encode, encoding_of

THOUSANDTHS = st.integers(-(10**6), 10**6).map(lambda number: np.float32(number / 1000))
NUMBERS = st.floats(-60_000, 60_000, width=32) | st.floats(-1, 1, width=32)
TENSORS = arrays(np.float32, st.tuples(st.integers(1, 4), st.sampled_from([32, 96])), elements=NUMBERS)
THEIRS = {name: gguf.GGMLQuantizationType[name.upper()] for name in ENCODINGS}


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
@given(values=TENSORS)
def test_no_number_is_rounded_by_more_than_its_encoding_says(encoding: Encoding, values: np.ndarray) -> None:
    content = encode(values, encoding)
    assert len(content) == encoding.num_bytes(values.size)
    off = np.abs(decode(content, encoding, values.shape) - values)
    blocks = off.reshape(-1, encoding.block_values), values.reshape(-1, encoding.block_values)
    assert (blocks[0] <= encoding.relative * np.abs(blocks[1]).max(1, keepdims=True) + encoding.absolute).all()


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
@given(values=arrays(np.float32, (2, 64), elements=THOUSANDTHS))
def test_the_bytes_are_those_of_llama_cpps_own_package(encoding: Encoding, values: np.ndarray) -> None:
    kind = THEIRS[encoding.name]
    theirs = gguf.quants.quantize(values, kind)
    assert encode(values, encoding) == theirs.tobytes()
    assert np.array_equal(decode(theirs.tobytes(), encoding, values.shape), gguf.quants.dequantize(theirs, kind))
    assert encoding.number == kind.value
    assert gguf.GGML_QUANT_SIZES[kind] == (encoding.block_values, encoding.block_bytes)


def test_what_cannot_be_rounded_so_is_kept_as_something_else() -> None:
    assert encoding_of((64,), Q8_0) is encoding_of((64,), F16) is F32
    assert encoding_of((3, 64), Q8_0) is Q8_0
    assert encoding_of((3, 48), Q8_0) is F16
    assert encoding_of((3, 5), F16) is F16


def test_a_number_that_an_f16_cannot_hold_is_refused_by_its_size() -> None:
    with pytest.raises(ExportError, match=r"a weight of 7e\+04 does not fit into an f16: use --type f32"):
        encode(np.full((1, 32), 70_000, np.float32), F16)
