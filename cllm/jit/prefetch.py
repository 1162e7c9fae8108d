"""Prefetch rows of a table into the processor's cache, so that the latencies of several rows overlap."""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from cllm.jit.compiled import Array, Number


def _prefetch(_: Any, table: Any, row: Any) -> Any:
    """Intrinsic that prefetches a row of a table (N, 16) uint8 into the cache without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        bytes_, flag, size = ir.IntType(8).as_pointer(), ir.IntType(32), ir.IntType(64)
        start = builder.gep(builder.bitcast(data, bytes_), [builder.mul(arguments[1], ir.Constant(size, 16))])
        kind = ir.FunctionType(ir.VoidType(), [bytes_, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        builder.call(function, [start, flag(1), flag(3), flag(1)])  # for writing, highest locality, data cache
        return context.get_dummy_value()

    return types.void(table, types.int64), generate


prefetch = cast(Callable[[Array, Number], None], intrinsic(_prefetch))
