"""The GGUF file format, version 3: metadata, then tensors. Only the subset that cllm's files need.

    "GGUF"  version u32  number of tensors u64  number of metadata entries u64
    each metadata entry:  name  type u32  value
    each tensor:          name  number of dimensions u32  their sizes u64, innermost first  ggml type u32  offset u64
    the tensors' data; each tensor begins at a multiple of 32 bytes

A string is its length u64 and its UTF-8 bytes; all numbers are little-endian. Metadata keys: see `gguf_model`.
"""

import struct
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cllm.errors import ArtifactError
from cllm.export.quantization import GGML_TYPES, GgmlType, dequantize, quantize
from cllm.export.tensor_names import Array

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
STRUCT_FORMATS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}
MetadataValue = bool | int | float | str | Sequence[int] | Sequence[str]


class Tensor(NamedTuple):
    """A tensor of any shape with its name and the type in which it is stored."""

    name: str
    values: Array
    ggml_type: GgmlType


def write(path: Path, metadata: dict[str, MetadataValue], tensors: Sequence[Tensor]) -> None:
    """Write a GGUF file; tensors have any shape. Integers are stored as u32, in lists as i32; floats as f32.

    Raises ExportError if a value does not fit its type.
    """
    with path.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(metadata)))
        for name, value in metadata.items():
            file.write(_pack_string(name) + _pack_value(value))
        offset = 0
        for tensor in tensors:
            shape = tensor.values.shape
            file.write(_pack_string(tensor.name) + struct.pack("<I", len(shape)))
            file.write(struct.pack(f"<{len(shape)}QIQ", *reversed(shape), tensor.ggml_type.type_id, offset))
            offset += _align(tensor.ggml_type.num_bytes(tensor.values.size))
        for tensor in tensors:
            file.write(bytes(-file.tell() % ALIGNMENT))
            file.write(quantize(tensor.values, tensor.ggml_type))
        file.write(bytes(-file.tell() % ALIGNMENT))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read metadata and tensors (any shape, float32) of a file written by `write`.

    Raises ArtifactError if the file is not such a file or is truncated.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (struct.error, ValueError, KeyError, MemoryError, OverflowError) as error:  # the last two: absurd lengths
        raise ArtifactError(f"{path} cannot be read as GGUF: {error or 'a length is too large'}") from None


def _read(file: BinaryIO) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if (magic := file.read(4)) != MAGIC:
        raise ValueError(f"it begins with {magic!r}")
    version, num_tensors, num_metadata = _unpack(file, "<IQQ")
    if version != VERSION:
        raise ValueError(f"its version is {version}")
    metadata = {_read_string(file): _read_value(file, _unpack(file, "<I")[0]) for _ in range(num_metadata)}
    headers = [_read_header(file) for _ in range(num_tensors)]
    begin = _align(file.tell())
    by_type_id = {ggml_type.type_id: ggml_type for ggml_type in GGML_TYPES.values()}
    tensors = {}
    for name, shape, type_id, offset in headers:
        ggml_type = by_type_id[type_id]
        file.seek(begin + offset)
        content = file.read(ggml_type.num_bytes(prod(shape)))
        tensors[name] = Tensor(name, dequantize(content, ggml_type, shape), ggml_type)
    return metadata, tensors


def _read_header(file: BinaryIO) -> tuple[str, tuple[int, ...], int, int]:
    name = _read_string(file)
    (dimensions,) = _unpack(file, "<I")
    *sizes, type_id, offset = _unpack(file, f"<{dimensions}QIQ")
    return name, tuple(reversed(sizes)), type_id, offset


def _read_value(file: BinaryIO, value_type: int) -> Any:
    if value_type == STRING:
        return _read_string(file)
    if value_type == ARRAY:
        element_type, count = _unpack(file, "<IQ")
        return [_read_value(file, element_type) for _ in range(count)]
    return _unpack(file, STRUCT_FORMATS[value_type])[0]


def _read_string(file: BinaryIO) -> str:
    return file.read(_unpack(file, "<Q")[0]).decode()


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _pack_value(value: MetadataValue) -> bytes:
    """Pack a value, preceded by its type."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _pack_string(value)
    if isinstance(value, Sequence):
        value_type = STRING if value and isinstance(value[0], str) else INT32
        return struct.pack("<IIQ", ARRAY, value_type, len(value)) + b"".join(_pack_elements(value))
    value_type = BOOL if isinstance(value, bool) else UINT32 if isinstance(value, int) else FLOAT32
    return struct.pack("<I", value_type) + struct.pack(STRUCT_FORMATS[value_type], value)


def _pack_elements(values: Sequence[int] | Sequence[str]) -> Iterable[bytes]:
    return (_pack_string(value) if isinstance(value, str) else struct.pack("<i", value) for value in values)


def _pack_string(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _align(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
