"""Compilation of kernels by Numba, and LLVM helpers for them."""
