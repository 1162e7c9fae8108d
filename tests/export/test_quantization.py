"""Storage types of GGUF: rounding errors, and equality with llama.cpp's `gguf` package."""

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cllm.errors import ExportError
from cllm.export.quantization import F16, F32, GGML_TYPES, Q8_0, GgmlType, dequantize, ggml_type_of, quantize

THOUSANDTHS = st.integers(-(10**6), 10**6).map(lambda number: np.float32(number / 1000))
NUMBERS = st.floats(-60_000, 60_000, width=32) | st.floats(-1, 1, width=32)
TENSORS = arrays(np.float32, st.tuples(st.integers(1, 4), st.sampled_from([32, 96])), elements=NUMBERS)
GGUF_TYPES = {name: gguf.GGMLQuantizationType[name.upper()] for name in GGML_TYPES}


@pytest.mark.parametrize("ggml_type", GGML_TYPES.values(), ids=GGML_TYPES)
@given(values=TENSORS)
def test_quantization_error_is_within_the_bound_of_the_type(ggml_type: GgmlType, values: np.ndarray) -> None:
    content = quantize(values, ggml_type)
    assert len(content) == ggml_type.num_bytes(values.size)
    errors = np.abs(dequantize(content, ggml_type, values.shape) - values)
    blocks = errors.reshape(-1, ggml_type.block_size), values.reshape(-1, ggml_type.block_size)
    assert (
        blocks[0] <= ggml_type.relative_error * np.abs(blocks[1]).max(1, keepdims=True) + ggml_type.absolute_error
    ).all()


@pytest.mark.parametrize("ggml_type", GGML_TYPES.values(), ids=GGML_TYPES)
@given(values=arrays(np.float32, (2, 64), elements=THOUSANDTHS))
def test_quantization_equals_the_gguf_package(ggml_type: GgmlType, values: np.ndarray) -> None:
    kind = GGUF_TYPES[ggml_type.name]
    expected = gguf.quants.quantize(values, kind)
    assert quantize(values, ggml_type) == expected.tobytes()
    assert np.array_equal(
        dequantize(expected.tobytes(), ggml_type, values.shape), gguf.quants.dequantize(expected, kind)
    )
    assert ggml_type.type_id == kind.value
    assert gguf.GGML_QUANT_SIZES[kind] == (ggml_type.block_size, ggml_type.type_size_bytes)


def test_type_falls_back_for_unsuitable_shapes() -> None:
    assert ggml_type_of((64,), Q8_0) is ggml_type_of((64,), F16) is F32
    assert ggml_type_of((3, 64), Q8_0) is Q8_0
    assert ggml_type_of((3, 48), Q8_0) is F16
    assert ggml_type_of((3, 5), F16) is F16


def test_value_beyond_f16_raises_export_error() -> None:
    with pytest.raises(ExportError, match=r"a weight of 7e\+04 does not fit into an f16: use --type f32"):
        quantize(np.full((1, 32), 70_000, np.float32), F16)
