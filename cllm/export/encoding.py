"""Numbers as llama.cpp keeps them: f32, f16, and q8_0, which is a scale (f16) and 32 whole numbers from -127 to 127.

Vectors, the weights of the norms, are f32 in every file, as llama.cpp's own programs write them. A row whose length
is no multiple of 32 cannot be q8_0; it is f16 then, as `llama-quantize` does.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cllm.errors import ExportError
from cllm.export.names import Array

BLOCK = 32


@dataclass(frozen=True)
class Encoding:
    """A type of numbers: its name, llama.cpp's number for it, what a block of so many of them takes, what it rounds.

    A number is off by `relative` times the largest of its block and `absolute` at most.
    """

    name: str
    number: int
    block_values: int
    block_bytes: int
    relative: float
    absolute: float

    def num_bytes(self, num_values: int) -> int:
        return num_values // self.block_values * self.block_bytes


HALF, TINY = 2.0**-11, 2.0**-25  # half of an f16's last bit, relative to it, and where it has fewest
F32 = Encoding("f32", 0, 1, 4, 0.0, 0.0)
F16 = Encoding("f16", 1, 1, 2, HALF, TINY)
Q8_0 = Encoding("q8_0", 8, BLOCK, 2 + BLOCK, 0.5 / 127 + HALF, 127 * TINY)
ENCODINGS = {encoding.name: encoding for encoding in (F32, F16, Q8_0)}


def encoding_of(shape: tuple[int, ...], asked: Encoding) -> Encoding:
    """What a tensor of this shape is kept as where `asked` is asked for."""
    if len(shape) == 1:
        return F32
    return F16 if shape[-1] % asked.block_values else asked


def encode(values: Array, encoding: Encoding) -> bytes:
    """A tensor's bytes. ExportError: a number is beyond what an f16 can hold."""
    if encoding is F32:
        return values.astype("<f4").tobytes()
    if encoding is F16:
        return _half(values).tobytes()
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(1, keepdims=True) / np.float32(127)
    halves = _half(scale)  # nothing, of what is nearly nothing
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=halves > 0)
    return np.concatenate([halves.view(np.uint8), _rounded(blocks * inverse).view(np.uint8)], 1).tobytes()


def decode(content: bytes, encoding: Encoding, shape: tuple[int, ...]) -> Array:
    """The numbers (shape) that a tensor's bytes stand for."""
    if encoding is F32:
        return np.frombuffer(content, "<f4").reshape(shape)
    if encoding is F16:
        return np.frombuffer(content, "<f2").astype(np.float32).reshape(shape)
    blocks = np.frombuffer(content, np.uint8).reshape(-1, encoding.block_bytes)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    return (scale * blocks[:, 2:].view(np.int8)).reshape(shape)


def _half(values: Array) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):  # it becomes infinite, which is looked for
        halves = values.astype("<f2")
    if not np.isfinite(halves).all():
        raise ExportError(f"a weight of {np.abs(values).max():.3g} does not fit into an f16: use --type f32")
    return halves


def _rounded(values: Array) -> npt.NDArray[np.int8]:
    """To the nearest whole number, halves away from zero, as C's `roundf`."""
    return (np.sign(values) * np.floor(np.abs(values) + np.float32(0.5))).astype(np.int8)
