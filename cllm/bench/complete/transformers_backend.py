"""transformers' backend process: prefill and decoding times, without the overhead of `generate`."""

import time
from functools import lru_cache
from typing import Any

import torch
import transformers

from cllm.spheres.worker import serve


@lru_cache(maxsize=1)
def model_of(folder: str, threads: int) -> Any:
    """Load an exported model in float32; cached."""
    torch.set_num_threads(threads)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()


@torch.inference_mode()
def decode(file: str, threads: int, prompt: list[int], count: int) -> dict[str, Any]:
    """Decode `count` tokens greedily; return the seconds of prefill and decoding, and the tokens."""
    model = model_of(file, threads)
    began = time.perf_counter()
    output = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
    prefilled_at = time.perf_counter()
    tokens = [int(output.logits[0, -1].argmax())]
    while len(tokens) < count:
        output = model(torch.tensor([tokens[-1:]]), past_key_values=output.past_key_values, use_cache=True)
        tokens.append(int(output.logits[0, -1].argmax()))
    seconds = time.perf_counter() - prefilled_at
    return {
        "prefill_seconds": prefilled_at - began,
        "num_prompt_tokens": len(prompt),
        "decode_seconds": seconds,
        "tokens": tokens,
    }


def main() -> None:
    serve({"decode": decode})
