"""A network in the formats of other programs, proven equal: Hugging Face's transformers, and llama.cpp.

write --> read back --> the other program, in a process of its own --> ids, logits and text as ours --> the user's name
"""

from cllm.export.huggingface import write_huggingface
from cllm.export.learned import Learned
from cllm.export.llama import write_gguf
from cllm.export.material import gather
from cllm.export.verify import verify_gguf, verify_huggingface

__all__ = ["Learned", "gather", "verify_gguf", "verify_huggingface", "write_gguf", "write_huggingface"]
