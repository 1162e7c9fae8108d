"""Memory shared by PyTorch's matrix products and the compiled kernels."""

from typing import NamedTuple

import torch
from torch import Tensor

from cllm.jit.compiled import Array


class SharedTensor(NamedTuple):
    """The same memory as a PyTorch tensor, for matrix products, and as a NumPy array, for kernels."""

    tensor: Tensor
    array: Array


def as_tensor(tensor: Tensor) -> SharedTensor:
    """A tensor (any shape) and its NumPy view; bfloat16 is viewed as uint16."""
    tensor = tensor.detach()
    return SharedTensor(tensor, (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy())
