"""A network in the formats of other programs, proven equal: Hugging Face's transformers, and llama.cpp.

write --> read back --> the other program, in a process of its own --> ids, logits and text as ours --> the user's name
"""

from cllm.export.gguf_model import write_gguf
from cllm.export.huggingface import write_huggingface
from cllm.export.trained_network import TrainedNetwork
from cllm.export.verification_set import build_verification_set
from cllm.export.verify import verify_gguf, verify_huggingface

__all__ = [
    "TrainedNetwork",
    "build_verification_set",
    "verify_gguf",
    "verify_huggingface",
    "write_gguf",
    "write_huggingface",
]
