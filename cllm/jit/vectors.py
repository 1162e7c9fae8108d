"""Helpers to write vectorised LLVM IR for the few kernels whose loops Numba does not vectorise."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

INT8, INT16, INT32, INT64, FLOAT = (*map(ir.IntType, (8, 16, 32, 64)), ir.FloatType())


class LlvmBuilder:
    """Builds the LLVM IR of an intrinsic from its arguments; arrays are C-contiguous."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self._context, self._types, self._arguments = context, signature.args, arguments

    def _array(self, number: int) -> Any:
        kind = self._types[number]
        return self._context.make_array(kind)(self._context, self.builder, self._arguments[number])

    def length(self, number: int, axis: int) -> Any:
        """Length of an axis of array argument `number`."""
        return cgutils.unpack_tuple(self.builder, self._array(number).shape)[axis]  # type: ignore[no-untyped-call]

    def row_address(self, number: int, row: Any) -> Any:
        """Address of a row of array argument `number`."""
        array = self._array(number)
        stride = cgutils.unpack_tuple(self.builder, array.strides)[0]  # type: ignore[no-untyped-call]
        start = self.builder.bitcast(array.data, INT8.as_pointer())
        return self.builder.gep(start, [self.builder.mul(row, stride)])

    def element_address(self, start: Any, index: Any, kind: Any) -> Any:
        """Address of element `index` of type `kind` from the address `start` on."""
        return self.builder.gep(self.builder.bitcast(start, kind.as_pointer()), [index])

    def load(self, start: Any, index: Any, kind: Any, lanes: int = 1) -> Any:
        """Load element `index` of type `kind`, or a vector of `lanes` elements from it on."""
        wanted = ir.VectorType(kind, lanes) if lanes > 1 else kind
        address = self.builder.bitcast(self.element_address(start, index, kind), wanted.as_pointer())
        return self.builder.load(address, align=4 if kind == FLOAT else kind.width // 8)

    def store(self, vector: Any, start: Any, index: Any) -> None:
        """Store a vector at element `index` from the address `start` on."""
        address = self.builder.bitcast(
            self.element_address(start, index, vector.type.element), vector.type.as_pointer()
        )
        self.builder.store(vector, address, align=4)

    def splat(self, value: Any, lanes: int) -> Any:
        """A vector of `lanes` copies of a value."""
        nothing = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self.builder.insert_element(nothing, value, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
        return self.builder.shuffle_vector(first, nothing, zeros)

    def alloca(self, value: Any) -> Any:
        """Stack slot of a variable with this initial value."""
        return cgutils.alloca_once_value(self.builder, value)  # type: ignore[no-untyped-call]

    def loop(self, count: Any, begin: Any = None) -> Any:
        """Context manager of a loop whose `index` runs from `begin` (default 0) to `count` - 1."""
        return cgutils.for_range(self.builder, count, start=begin, intp=INT64)
