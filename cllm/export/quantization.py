"""Storage types of llama.cpp: f32, f16, and q8_0, blocks of an f16 scale and 32 integers from -127 to 127.

Vectors, the weights of the norms, are always f32, as in llama.cpp's own converters. A matrix whose row length is not a
multiple of 32 cannot be q8_0; it is stored as f16, as `llama-quantize` does.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cllm.errors import ExportError
from cllm.export.tensor_names import Array

BLOCK = 32


@dataclass(frozen=True)
class GgmlType:
    """A storage type: its name, llama.cpp's id, values per block, bytes per block, and rounding errors.

    The error of a value is at most `relative_error` times the largest value of its block plus `absolute_error`.
    """

    name: str
    type_id: int
    block_size: int
    type_size_bytes: int
    relative_error: float
    absolute_error: float

    def num_bytes(self, num_values: int) -> int:
        return num_values // self.block_size * self.type_size_bytes


# Half a unit in the last place of an f16: relative for normal numbers, absolute for subnormal numbers.
F16_RELATIVE_ERROR, F16_ABSOLUTE_ERROR = 2.0**-11, 2.0**-25
F32 = GgmlType("f32", 0, 1, 4, 0.0, 0.0)
F16 = GgmlType("f16", 1, 1, 2, F16_RELATIVE_ERROR, F16_ABSOLUTE_ERROR)
Q8_0 = GgmlType("q8_0", 8, BLOCK, 2 + BLOCK, 0.5 / 127 + F16_RELATIVE_ERROR, 127 * F16_ABSOLUTE_ERROR)
GGML_TYPES = {ggml_type.name: ggml_type for ggml_type in (F32, F16, Q8_0)}


def ggml_type_of(shape: tuple[int, ...], requested: GgmlType) -> GgmlType:
    """Return the type in which a tensor of this shape is stored if `requested` is the file's type."""
    if len(shape) == 1:
        return F32
    return F16 if shape[-1] % requested.block_size else requested


def quantize(values: Array, ggml_type: GgmlType) -> bytes:
    """Return the stored bytes of float32 values of any shape. Raises ExportError if a value exceeds f16's range."""
    if ggml_type is F32:
        return values.astype("<f4").tobytes()
    if ggml_type is F16:
        return _to_f16(values).tobytes()
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(1, keepdims=True) / np.float32(127)
    halves = _to_f16(scale)  # 0 if the scale underflows
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=halves > 0)
    return np.concatenate([halves.view(np.uint8), _round_half_away(blocks * inverse).view(np.uint8)], 1).tobytes()


def dequantize(content: bytes, ggml_type: GgmlType, shape: tuple[int, ...]) -> Array:
    """Return the float32 values of a tensor's bytes, reshaped to `shape` (any shape)."""
    if ggml_type is F32:
        return np.frombuffer(content, "<f4").reshape(shape)
    if ggml_type is F16:
        return np.frombuffer(content, "<f2").astype(np.float32).reshape(shape)
    blocks = np.frombuffer(content, np.uint8).reshape(-1, ggml_type.type_size_bytes)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    return (scale * blocks[:, 2:].view(np.int8)).reshape(shape)


def _to_f16(values: Array) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):  # overflow gives infinity, which is checked below
        halves = values.astype("<f2")
    if not np.isfinite(halves).all():
        raise ExportError(f"a weight of {np.abs(values).max():.3g} does not fit into an f16: use --type f32")
    return halves


def _round_half_away(values: Array) -> npt.NDArray[np.int8]:
    """Round to the nearest integer, halves away from zero, as C's `roundf`."""
    return (np.sign(values) * np.floor(np.abs(values) + np.float32(0.5))).astype(np.int8)
