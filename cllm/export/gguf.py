"""The file format GGUF, version 3: settings by name, then tensors by name. Only what our files need of it.

    "GGUF"  version u32  number of tensors u64  number of settings u64
    each setting:  name  type u32  value
    each tensor:   name  dimensions u32  their sizes u64, the innermost first  encoding u32  place of its bytes u64
    the tensors' bytes; the first, and each after another, begins at a multiple of 32

A string is its length u64 and its UTF-8; all numbers are little-endian. What the settings mean: `llama.py`.
"""

import struct
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cllm.errors import ArtifactError
from cllm.export.encoding import ENCODINGS, Encoding, decode, encode
from cllm.export.names import Array

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
FORMATS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
Setting = bool | int | float | str | Sequence[int] | Sequence[str]


class Tensor(NamedTuple):
    """A name, numbers, and what they are kept as."""

    name: str
    values: Array
    encoding: Encoding


def write(path: Path, settings: dict[str, Setting], tensors: Sequence[Tensor]) -> None:
    """Write a file. Numbers are u32, in lists i32; floats are f32."""
    with path.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(settings)))
        for name, value in settings.items():
            file.write(_string(name) + _typed(value))
        place = 0
        for tensor in tensors:
            shape = tensor.values.shape
            file.write(_string(tensor.name) + struct.pack("<I", len(shape)))
            file.write(struct.pack(f"<{len(shape)}QIQ", *reversed(shape), tensor.encoding.number, place))
            place += _aligned(tensor.encoding.num_bytes(tensor.values.size))
        for tensor in tensors:
            file.write(bytes(-file.tell() % ALIGNMENT))
            file.write(encode(tensor.values, tensor.encoding))
        file.write(bytes(-file.tell() % ALIGNMENT))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and tensors of a file that `write` wrote. ArtifactError: it is not one, or is truncated."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except (struct.error, ValueError, KeyError, MemoryError, OverflowError) as error:  # the last two: absurd lengths
        raise ArtifactError(f"{path} cannot be read as GGUF: {error or 'a length is too large'}") from None


def _read(file: BinaryIO) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if (magic := file.read(4)) != MAGIC:
        raise ValueError(f"it begins with {magic!r}")
    version, num_tensors, num_settings = _unpack(file, "<IQQ")
    if version != VERSION:
        raise ValueError(f"its version is {version}")
    settings = {_read_string(file): _read_value(file, _unpack(file, "<I")[0]) for _ in range(num_settings)}
    headers = [_read_header(file) for _ in range(num_tensors)]
    begin = _aligned(file.tell())
    by_number = {encoding.number: encoding for encoding in ENCODINGS.values()}
    tensors = {}
    for name, shape, number, place in headers:
        encoding = by_number[number]
        file.seek(begin + place)
        content = file.read(encoding.num_bytes(prod(shape)))
        tensors[name] = Tensor(name, decode(content, encoding, shape), encoding)
    return settings, tensors


def _read_header(file: BinaryIO) -> tuple[str, tuple[int, ...], int, int]:
    name = _read_string(file)
    (dimensions,) = _unpack(file, "<I")
    *sizes, number, place = _unpack(file, f"<{dimensions}QIQ")
    return name, tuple(reversed(sizes)), number, place


def _read_value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _read_string(file)
    if kind == ARRAY:
        of, count = _unpack(file, "<IQ")
        return [_read_value(file, of) for _ in range(count)]
    return _unpack(file, FORMATS[kind])[0]


def _read_string(file: BinaryIO) -> str:
    return file.read(_unpack(file, "<Q")[0]).decode()


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _typed(value: Setting) -> bytes:
    """A value after its type."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value, Sequence):
        kind = STRING if value and isinstance(value[0], str) else I32
        return struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(_elements(value))
    kind = BOOL if isinstance(value, bool) else U32 if isinstance(value, int) else F32
    return struct.pack("<I", kind) + struct.pack(FORMATS[kind], value)


def _elements(values: Sequence[int] | Sequence[str]) -> Iterable[bytes]:
    return (_string(value) if isinstance(value, str) else struct.pack("<i", value) for value in values)


def _string(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT
