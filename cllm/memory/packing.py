"""Packed tables: most bytes of a memory's slots and half of its runs are zero.

A slot of 16 bytes is stored as a 16-bit mask, little-endian, and its nonzero bytes. Unpacking a slot is one instruction
where the processor can spread consecutive bytes over the set bits of a mask (VBMI2); elsewhere LLVM expands it. Runs
are stored as a bit for each, whether it is in use, and then the 3 bytes of each run in use.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from cllm.jit.compiled import Array, Number, compiled
from cllm.jit.vectors import INT8, INT16, LlvmBuilder
from cllm.memory.mixer.state import SLOT_BYTES

MASK_BYTES = 2
RUN_BYTES = 3  # of 4: the high byte is 0
NUM_BITS = np.bitwise_count(np.arange(1 << SLOT_BYTES, dtype=np.uint16))
HIGHEST_BIT = np.array([max(0, mask.bit_length() - 1) for mask in range(1 << 8)], np.uint8)


def pack_slots(slots: Array) -> Array:
    """Pack slots (N, 16) uint8 into (B,) uint8."""
    packed = np.empty(slots.size + MASK_BYTES * len(slots), np.uint8)
    return packed[: _pack_slots(slots, packed)]


def pack_runs(runs: Array) -> Array:
    """Pack runs (M,) uint32 into (B,) uint8."""
    is_used = runs != 0
    contents = runs[is_used].view(np.uint8).reshape(-1, 4)[:, :RUN_BYTES]
    return np.concatenate([np.packbits(is_used), contents.reshape(-1)])


@compiled
def _pack_slots(slots: Array, packed: Array) -> int:
    at = 0
    for slot in range(len(slots)):
        mask = 0
        start = at
        at += MASK_BYTES
        for column in range(SLOT_BYTES):
            value = slots[slot, column]
            if value:
                mask |= 1 << column
                packed[at] = value
                at += 1
        packed[start] = mask & 255
        packed[start + 1] = mask >> 8
    return at


@compiled
def _unpack_slot(packed: Array, at: Number, slots: Array, slot: Number) -> Number:
    """Unpack what begins at `packed[at]` into a slot; return where it ends, -1 if it is cut off."""
    if at + MASK_BYTES > len(packed):
        return -1
    mask = np.int64(packed[at]) | np.int64(packed[at + 1]) << 8
    end = at + MASK_BYTES + np.int64(NUM_BITS[mask])
    if end > len(packed):
        return -1
    _spread(packed, at + MASK_BYTES, mask, slots, slot)
    return end


@compiled
def unpack_slots(packed: Array, slots: Array) -> bool:
    """Unpack `packed` (B,) uint8 of `pack_slots` into slots (N, 16); return whether it holds exactly N."""
    at = np.int64(0)
    for slot in range(len(slots)):
        at = _unpack_slot(packed, at, slots, slot)
        if at < 0:
            return False
    return bool(at == len(packed))


@compiled
def unpack_runs(packed: Array, runs: Array) -> bool:
    """Unpack `packed` (B,) uint8 of `pack_runs` into zeroed runs (M,); return whether it holds exactly M."""
    at = (len(runs) + 7) // 8
    if at > len(packed):
        return False
    for byte_index in range(at):
        mask = np.int64(packed[byte_index])
        if at + RUN_BYTES * np.int64(NUM_BITS[mask]) > len(packed):
            return False
        while mask:
            bit = np.int64(HIGHEST_BIT[mask])
            mask ^= 1 << bit
            run = 8 * byte_index + 7 - bit
            if run >= len(runs):
                return False
            runs[run] = np.uint32(packed[at]) | np.uint32(packed[at + 1]) << 8 | np.uint32(packed[at + 2]) << 16
            at += RUN_BYTES
    return bool(at == len(packed))


@compiled
def xor_slots(packed: Array, is_changed: Array, rows: Array, buffer: Array) -> bool:
    """XOR the rows (N, 16) uint8 whose bits are set in `is_changed` (N / 8,) with slots that `pack_slots` packed.

    `buffer` (1, 16) uint8 is for one slot. Returns whether `packed` (B,) uint8 holds exactly as many slots.
    """
    at = np.int64(0)
    for byte_index in range(len(is_changed)):
        bits = np.int64(is_changed[byte_index])
        while bits:
            bit = np.int64(HIGHEST_BIT[bits])
            bits ^= 1 << bit
            row = 8 * byte_index + 7 - bit
            at = _unpack_slot(packed, at, buffer, 0)
            if at < 0 or row >= len(rows):
                return False
            for column in range(SLOT_BYTES):
                rows[row, column] ^= buffer[0, column]
    return bool(at == len(packed))


@intrinsic
def _spread_intrinsic(_: Any, packed: Any, at: Any, mask: Any, slots: Any, slot: Any) -> Any:
    assert packed.dtype == slots.dtype == types.uint8

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        llvm = LlvmBuilder(context, builder, signature, arguments)
        content, bits = ir.VectorType(INT8, SLOT_BYTES), ir.VectorType(ir.IntType(1), SLOT_BYTES)
        start = llvm.element_address(llvm.row_address(0, arguments[1]), ir.Constant(ir.IntType(64), 0), INT8)
        mask = builder.bitcast(builder.trunc(arguments[2], INT16), bits)
        kind = ir.FunctionType(content, [start.type, bits, content])
        name = f"llvm.masked.expandload.v{SLOT_BYTES}i8"
        function = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
        found = builder.call(function, [start, mask, ir.Constant(content, [0] * SLOT_BYTES)])
        llvm.store(found, llvm.row_address(3, arguments[4]), ir.Constant(ir.IntType(64), 0))
        return context.get_dummy_value()

    return types.void(packed, types.int64, types.int64, slots, types.int64), generate


# Write the bytes of `packed` from `at` on into the columns of a slot whose bits are set in `mask`, and zeros elsewhere.
_spread = cast(Callable[[Array, Number, Number, Array, Number], None], _spread_intrinsic)
