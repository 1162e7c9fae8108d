"""What LLVM is told where Numba's loops would not become the processor's vectors: for kernels that are worth it."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

INT8, INT16, INT32, INT64, FLOAT = (*map(ir.IntType, (8, 16, 32, 64)), ir.FloatType())


class LlvmBuilder:
    """A part of a kernel that is being written, of an intrinsic's arguments; rows are those of C arrays."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self._context, self._types, self._arguments = context, signature.args, arguments

    def _array(self, number: int) -> Any:
        kind = self._types[number]
        return self._context.make_array(kind)(self._context, self.builder, self._arguments[number])

    def length(self, number: int, axis: int) -> Any:
        """Of an argument that is an array."""
        return cgutils.unpack_tuple(self.builder, self._array(number).shape)[axis]  # type: ignore[no-untyped-call]

    def row_address(self, number: int, row: Any) -> Any:
        """Of a row of an argument that is an array."""
        array = self._array(number)
        stride = cgutils.unpack_tuple(self.builder, array.strides)[0]  # type: ignore[no-untyped-call]
        start = self.builder.bitcast(array.data, INT8.as_pointer())
        return self.builder.gep(start, [self.builder.mul(row, stride)])

    def element_address(self, start: Any, index: Any, kind: Any) -> Any:
        """The address of the `index`th of a kind behind another address."""
        return self.builder.gep(self.builder.bitcast(start, kind.as_pointer()), [index])

    def load(self, start: Any, index: Any, kind: Any, lanes: int = 1) -> Any:
        """The `index`th of a kind, and as a vector those after it."""
        wanted = ir.VectorType(kind, lanes) if lanes > 1 else kind
        address = self.builder.bitcast(self.element_address(start, index, kind), wanted.as_pointer())
        return self.builder.load(address, align=4 if kind == FLOAT else kind.width // 8)

    def store(self, vector: Any, start: Any, index: Any) -> None:
        """A vector, so that its first is the `index`th of its kind."""
        address = self.builder.bitcast(
            self.element_address(start, index, vector.type.element), vector.type.as_pointer()
        )
        self.builder.store(vector, address, align=4)

    def splat(self, value: Any, lanes: int) -> Any:
        """A vector of so many times a value."""
        nothing = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self.builder.insert_element(nothing, value, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
        return self.builder.shuffle_vector(first, nothing, zeros)

    def alloca(self, value: Any) -> Any:
        """Room for a value that changes, and that has this one at first."""
        return cgutils.alloca_once_value(self.builder, value)  # type: ignore[no-untyped-call]

    def loop(self, count: Any, begin: Any = None) -> Any:
        """A context manager in which `index` goes through what lies from `begin` (or 0) to a number."""
        return cgutils.for_range(self.builder, count, start=begin, intp=INT64)
