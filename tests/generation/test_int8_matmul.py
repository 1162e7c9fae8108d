"""Matrices in 8 bits: each product is the one that NumPy computes in whole numbers."""

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
    """Products, and the vectors as they were rounded."""
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
def test_the_kernel_and_its_slow_twin_agree(height: int, width: int, count: int, seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    matrix = quantize(random.standard_normal((height, width)).astype(np.float32))
    vectors = (random.standard_normal((count, width)) * scale).astype(np.float32)
    products, quantized, vector_scales = product(matrix, vectors)
    whole = matrix.weights.swapaxes(-2, -3).reshape(len(matrix.scales), -1).astype(np.int64)
    expected = (quantized.astype(np.int64) @ whole.T).astype(np.float32) * (matrix.scales * vector_scales[:, None])
    np.testing.assert_allclose(products, expected, rtol=3e-7)
    exact = vectors @ dequantize(matrix)[:height, :width].T
    np.testing.assert_allclose(products[:, :height], exact, atol=2e-4 * scale * width**0.5)
    for number in range(count):  # beside others or alone
        assert np.array_equal(product(matrix, vectors[number : number + 1])[0][0], products[number])


OTHERS = {"generic": ("", ""), "haswell": ("+avx,+avx2,+fma", "llvm.x86.avx2.pmadd.wd")}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of that kind")
@pytest.mark.parametrize("processor", OTHERS)
def test_other_processors_have_other_instructions_and_the_same_products(processor: str, tmp_path: Path) -> None:
    """A process that compiles for one; this one can do what those can."""
    features, pairs = OTHERS[processor]
    random = np.random.default_rng(3)
    matrix = random.standard_normal((70, 50)).astype(np.float32)
    vectors = random.standard_normal((7, 50)).astype(np.float32)
    np.savez(tmp_path / "given.npz", matrix=matrix, vectors=vectors)
    script = (
        "import sys, numpy as np\n"
        "from cllm.generation.predict.int8_matmul import LANES, PMADD, quantize\n"
        "from test_int8_matmul import product\n"
        "given = np.load(sys.argv[1])\n"
        "found = product(quantize(given['matrix']), given['vectors'])[0]\n"
        "np.savez(sys.argv[2], found=found[:, :70], lanes=LANES, pairs=PMADD)\n"
    )
    named = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "given.npz", tmp_path / "found.npz"],
        env={**os.environ, **named, "PYTHONPATH": str(Path(__file__).parent)},
        check=True,
    )
    other = np.load(tmp_path / "found.npz")
    assert (int(other["lanes"]), str(other["pairs"])) == (8, pairs)
    np.testing.assert_allclose(other["found"], product(quantize(matrix), vectors)[0][:, :70], rtol=0, atol=1e-4)


def test_a_matrix_is_rounded_row_by_row_and_filled_with_zeros() -> None:
    random = np.random.default_rng(0)
    matrices = random.standard_normal((3, 70, 5)).astype(np.float32) * 10.0 ** np.arange(-35, 35)[:, None]
    matrices[1, 7] = 0
    matrix = quantize(matrices.astype(np.float32))
    again = dequantize(matrix)
    assert (np.abs(again[:, :70, :5] - matrices) <= np.abs(matrices).max(-1, keepdims=True) / MAX_WEIGHT * 0.501).all()
    assert not again[:, 70:].any() and not again[..., 5:].any() and not again[1, 7].any()


@pytest.mark.parametrize("width", [2, 516, 518, 4096, 40_000])
def test_the_largest_sum_fits(width: int) -> None:
    matrix, vectors = quantize(np.ones((1, width), np.float32)), np.ones((1, width), np.float32)
    products, quantized, _ = product(matrix, vectors)
    assert int(quantized.sum(dtype=np.int64)) * MAX_WEIGHT <= MAX_SUM
    assert products[0, 0] == pytest.approx(width, rel=1e-6)


def test_a_vector_of_zeros_has_products_of_zero() -> None:
    products, _, vector_scales = product(quantize(np.ones((3, 4), np.float32)), np.zeros((2, 4), np.float32))
    assert not products.any() and not vector_scales.any()
