"""Export of a network to Hugging Face transformers and llama.cpp, with verification.

write --> read back --> load in the runtime, in a separate process --> compare ids, logits and text --> final name
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
