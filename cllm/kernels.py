"""Compile every kernel: `python -m cllm.kernels`, once for a version on a machine; `make install` does it.

It takes about a minute of one core. Otherwise the first training does it, beside its work and in its time.
"""

import tempfile
from pathlib import Path

import torch

from cllm.generation import Prompt, SamplingParams, Writer
from cllm.memory.memory import Memory
from cllm.memory.store import load_memory, save_memory
from cllm.memory.worker import compile_kernels
from cllm.model.config import TransformerConfig
from cllm.model.transformer import Transformer, initialise
from cllm.tokenizer import Tokenizer

TEXT = b"int main(void) {\n  return 0;\n}\n" * 8


def main() -> None:
    """Learn a text that hardly is one, and complete another with all that there is."""
    tokenizer = Tokenizer.learn([TEXT], 300)
    memory = Memory.new(tokenizer, len(TEXT))
    compile_kernels(memory)
    memory.read(TEXT)
    memory.index.sort(memory.text, 0, memory.size)
    with tempfile.TemporaryDirectory() as folder:
        save_memory(memory, Path(folder) / "memory")
        memory = load_memory(Path(folder) / "memory", tokenizer)
    writer = Writer(tokenizer=tokenizer, model=smallest_network(tokenizer.vocab_size), memory=memory)
    writer.complete(Prompt(prefix=b"int mai", suffix=b"\n"), SamplingParams(max_tokens=4))


def smallest_network(vocab_size: int) -> Transformer:
    """One that was not trained."""
    network = Transformer(
        TransformerConfig(
            vocab_size=vocab_size,
            n_layer=1,
            n_head=1,
            n_kv_head=1,
            n_embd=16,
            head_dim=16,
            n_inner=16,
            context_length=64,
        )
    )
    initialise(network, torch.Generator().manual_seed(0))
    return network.requires_grad_(False)


if __name__ == "__main__":
    main()
