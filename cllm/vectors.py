"""What LLVM is told where Numba's loops would not become the processor's vectors: for kernels that are worth it."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

BYTE, WORD, INTEGER, SIZE, FLOAT = (*map(ir.IntType, (8, 16, 32, 64)), ir.FloatType())


class Writing:
    """A part of a kernel that is being written, of an intrinsic's arguments; rows are those of C arrays."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self._context, self._kinds, self._arguments = context, signature.args, arguments

    def _array(self, number: int) -> Any:
        kind = self._kinds[number]
        return self._context.make_array(kind)(self._context, self.builder, self._arguments[number])

    def length(self, number: int, axis: int) -> Any:
        """Of an argument that is an array."""
        return cgutils.unpack_tuple(self.builder, self._array(number).shape)[axis]  # type: ignore[no-untyped-call]

    def address(self, number: int, row: Any) -> Any:
        """Of a row of an argument that is an array."""
        array = self._array(number)
        stride = cgutils.unpack_tuple(self.builder, array.strides)[0]  # type: ignore[no-untyped-call]
        start = self.builder.bitcast(array.data, BYTE.as_pointer())
        return self.builder.gep(start, [self.builder.mul(row, stride)])

    def at(self, start: Any, place: Any, kind: Any) -> Any:
        """The address of the `place`th of a kind behind another address."""
        return self.builder.gep(self.builder.bitcast(start, kind.as_pointer()), [place])

    def load(self, start: Any, place: Any, kind: Any, lanes: int = 1) -> Any:
        """The `place`th of a kind, and as a vector those after it."""
        wanted = ir.VectorType(kind, lanes) if lanes > 1 else kind
        address = self.builder.bitcast(self.at(start, place, kind), wanted.as_pointer())
        return self.builder.load(address, align=4 if kind == FLOAT else kind.width // 8)

    def store(self, vector: Any, start: Any, place: Any) -> None:
        """A vector, so that its first is the `place`th of its kind."""
        address = self.builder.bitcast(self.at(start, place, vector.type.element), vector.type.as_pointer())
        self.builder.store(vector, address, align=4)

    def everywhere(self, value: Any, lanes: int) -> Any:
        """A vector of so many times a value."""
        nothing = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self.builder.insert_element(nothing, value, INTEGER(0))
        zeros = ir.Constant(ir.VectorType(INTEGER, lanes), [0] * lanes)
        return self.builder.shuffle_vector(first, nothing, zeros)

    def variable(self, value: Any) -> Any:
        """Room for a value that changes, and that has this one at first."""
        return cgutils.alloca_once_value(self.builder, value)  # type: ignore[no-untyped-call]

    def each(self, count: Any, begin: Any = None) -> Any:
        """A context manager in which `index` goes through what lies from `begin` (or 0) to a number."""
        return cgutils.for_range(self.builder, count, start=begin, intp=SIZE)
