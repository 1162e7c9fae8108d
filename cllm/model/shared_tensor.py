"""Numbers that PyTorch's products and our kernels share."""

from typing import NamedTuple

import torch
from torch import Tensor

from cllm.jit.compiled import Array


class SharedTensor(NamedTuple):
    """The same memory as a tensor, for products, and as an array, for kernels."""

    tensor: Tensor
    array: Array


def as_tensor(tensor: Tensor) -> SharedTensor:
    """A tensor in both ways; bfloat16 are uint16 to NumPy."""
    tensor = tensor.detach()
    return SharedTensor(tensor, (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy())
