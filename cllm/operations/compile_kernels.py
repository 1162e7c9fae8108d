"""Compile every kernel: `python -m cllm.operations.compile_kernels`, once per version and machine, in `make install`.

It takes about a minute of one core; without it, the first training compiles them within its time budget. Later the
kernels are loaded from a cache in 1 s, by the process that calls them or by the fork server, whose workers share them.
"""

import tempfile
from pathlib import Path

import torch

from cllm.generation import Completer, Prompt, SamplingParams
from cllm.generation.predict.network import Network
from cllm.memory.memory import Memory
from cllm.memory.store import load_memory, save_memory, save_update
from cllm.memory.worker import compile_kernels
from cllm.model.gradient import build_forward_backward
from cllm.model.transformer import Transformer, initialise
from cllm.tokenizer import Tokenizer
from cllm.training.choose import config_of_size
from cllm.training.plan import DTYPES

TEXT = b"int main(void) {\n  return 0;\n}\n" * 8


def main() -> None:
    """Call every kernel."""
    call_completion_kernels()
    network = small_network(256)
    for dtype in DTYPES:
        call_gradient_kernels(network, getattr(torch, dtype))


def call_completion_kernels() -> None:
    """Build a memory of a tiny text and complete a prompt with all predictors."""
    tokenizer = Tokenizer.train([TEXT], 300)
    memory = Memory.new(tokenizer, len(TEXT))
    compile_kernels(memory)
    memory.train_on(TEXT)
    memory.index.add_segment(memory.text, 0, memory.size)
    with tempfile.TemporaryDirectory(prefix="cllm-kernels-") as folder:
        memory = saved_and_loaded(memory, Path(folder))
    transformer = small_network(tokenizer.vocab_size)
    weights = {name: weight.detach().numpy() for name, weight in transformer.named_parameters()}
    completer = Completer(tokenizer=tokenizer, network=Network(transformer.config, weights), memory=memory)
    prompt = Prompt(prefix=b"int mai", suffix=b"(void) {\n  return 0;\n}\n", language="C")
    completer.complete(prompt, SamplingParams(max_tokens=4, until="line", valid=True))
    completer.complete(Prompt(prefix=b"int mai"), SamplingParams(max_tokens=4))


def saved_and_loaded(memory: Memory, folder: Path) -> Memory:
    """The memory as loaded from `folder`, with an update."""
    save_memory(memory, folder / "memory")
    memory = load_memory(folder / "memory", memory.tokenizer)
    with memory.rollback_on_exit(len(TEXT)):
        begin = memory.size
        memory.train_on(TEXT)
        memory.index.add_segment(memory.text, begin, memory.size)
        save_update(memory, begin, folder / "update", folder / "memory")
    return load_memory(folder / "memory", memory.tokenizer, folder / "update")


def small_network(vocab_size: int) -> Transformer:
    """An untrained network of the smallest size."""
    network = Transformer(config_of_size(0, vocab_size))
    initialise(network, torch.Generator().manual_seed(0))
    return network


def call_gradient_kernels(network: Transformer, dtype: torch.dtype) -> None:
    """Compute one gradient of four tokens."""
    gradient = build_forward_backward(network.to(dtype), (1, 4), sample_threshold=0.3, dropout=0.1)
    gradients = {name: torch.empty_like(weight) for name, weight in network.named_parameters()}
    ids = torch.arange(5).unsqueeze(0)
    gradient.compute(ids[:, :-1], ids[:, 1:], 1.0, gradients, 0)


if __name__ == "__main__":
    main()
