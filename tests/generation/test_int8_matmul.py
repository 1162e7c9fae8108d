"""Quantized matrices: products against integer arithmetic in NumPy, also on other instruction sets."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.generation.predict.int8_matmul import MAX_SUM, MAX_WEIGHT, QuantizedMatrix, dequantize, matmul, quantize
from cllm.jit.compiled import Array


def product(matrix: QuantizedMatrix, vectors: Array) -> tuple[Array, Array, Array]:
    """Products, and the quantized vectors with their scales."""
    count, width = len(vectors), 2 * matrix.weights.shape[1]
    padded = np.zeros((count, width), np.float32)
    padded[:, : vectors.shape[1]] = vectors
    quantized, vector_scales = np.empty((count, width), np.int16), np.empty(count, np.float32)
    products = np.empty((count, len(matrix.scales)), np.float32)
    matmul(matrix.weights, matrix.scales, padded, quantized, vector_scales, products)
    return products, quantized, vector_scales


@given(
    st.integers(1, 150),
    st.integers(1, 90),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-20, 1.0, 1e30]),
)
def test_matmul_equals_integer_arithmetic(height: int, width: int, count: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    matrix = quantize(rng.standard_normal((height, width)).astype(np.float32))
    vectors = (rng.standard_normal((count, width)) * scale).astype(np.float32)
    products, quantized, vector_scales = product(matrix, vectors)
    rows = matrix.weights.swapaxes(-2, -3).reshape(len(matrix.scales), -1).astype(np.int64)
    expected = (quantized.astype(np.int64) @ rows.T).astype(np.float32) * (matrix.scales * vector_scales[:, None])
    np.testing.assert_allclose(products, expected, rtol=3e-7)
    exact = vectors @ dequantize(matrix)[:height, :width].T
    np.testing.assert_allclose(products[:, :height], exact, atol=2e-4 * scale * width**0.5)
    for number in range(count):  # the same in a batch and alone
        assert np.array_equal(product(matrix, vectors[number : number + 1])[0][0], products[number])


PROCESSORS = {"generic": ("", ""), "haswell": ("+avx,+avx2,+fma", "llvm.x86.avx2.pmadd.wd")}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compiles for x86_64 processors")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_matmul_compiled_for_other_processors_gives_the_same_products(processor: str, tmp_path: Path) -> None:
    """In a subprocess that compiles for that processor, whose instructions this one must support."""
    features, pmadd = PROCESSORS[processor]
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((70, 50)).astype(np.float32)
    vectors = rng.standard_normal((7, 50)).astype(np.float32)
    np.savez(tmp_path / "given.npz", matrix=matrix, vectors=vectors)
    script = (
        "import sys, numpy as np\n"
        "from cllm.generation.predict.int8_matmul import LANES, PMADD, quantize\n"
        "from test_int8_matmul import product\n"
        "given = np.load(sys.argv[1])\n"
        "found = product(quantize(given['matrix']), given['vectors'])[0]\n"
        "np.savez(sys.argv[2], found=found[:, :70], lanes=LANES, pairs=PMADD)\n"
    )
    environment = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "given.npz", tmp_path / "found.npz"],
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parent)},
        check=True,
    )
    other = np.load(tmp_path / "found.npz")
    assert (int(other["lanes"]), str(other["pairs"])) == (8, pmadd)
    np.testing.assert_allclose(other["found"], product(quantize(matrix), vectors)[0][:, :70], rtol=0, atol=1e-4)


def test_quantize_scales_each_row_and_pads_with_zeros() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((3, 70, 5)).astype(np.float32) * 10.0 ** np.arange(-35, 35)[:, None]
    matrices[1, 7] = 0
    matrix = quantize(matrices.astype(np.float32))
    restored = dequantize(matrix)
    assert (
        np.abs(restored[:, :70, :5] - matrices) <= np.abs(matrices).max(-1, keepdims=True) / MAX_WEIGHT * 0.501
    ).all()
    assert not restored[:, 70:].any() and not restored[..., 5:].any() and not restored[1, 7].any()


@pytest.mark.parametrize("width", [2, 516, 518, 4096, 40_000])
def test_largest_sum_does_not_overflow(width: int) -> None:
    matrix, vectors = quantize(np.ones((1, width), np.float32)), np.ones((1, width), np.float32)
    products, quantized, _ = product(matrix, vectors)
    assert int(quantized.sum(dtype=np.int64)) * MAX_WEIGHT <= MAX_SUM
    assert products[0, 0] == pytest.approx(width, rel=1e-6)


def test_zero_vector_gives_zero_products() -> None:
    products, _, vector_scales = product(quantize(np.ones((3, 4), np.float32)), np.zeros((2, 4), np.float32))
    assert not products.any() and not vector_scales.any()
