"""The process that runs an export in Hugging Face transformers, version 4 or 5 (see `runtimes.py`)."""

import json
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

MAX_ROWS = 256  # last rows of a prompt's logits that are returned


@torch.inference_mode()
def generate(model: Any, prompt: list[int], max_tokens: int) -> tuple[list[int], Tensor]:
    """Decode greedily with transformers' own loop; return the ids, and logits (n, V) float32 of one forward pass."""
    ids = torch.tensor([prompt])
    sequence = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False)
    return sequence[0, len(prompt) :].tolist(), model(sequence[:, :-1]).logits[0, -MAX_ROWS:].clone()


def main() -> None:
    export, folder = sys.argv[1], Path(sys.argv[2])
    inputs = json.loads((folder / "input.json").read_text())
    tokenizer: Any = AutoTokenizer.from_pretrained(export, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(export, local_files_only=True, use_safetensors=True)

    def ids_of(text: str) -> Any:
        return tokenizer(text, split_special_tokens=True)["input_ids"]

    ids = [ids_of(text) for text in inputs["texts"]]
    prefix, suffix, middle = tokenizer.convert_tokens_to_ids(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"])
    infill_prompt = [prefix, *ids_of(inputs["prefix"]), suffix, *ids_of(inputs["suffix"]), middle]
    prompts = [*inputs["prompts"][:-1], infill_prompt]
    generated, scores = zip(*[generate(model, prompt, inputs["max_tokens"]) for prompt in prompts], strict=True)
    output = {
        "version": transformers.__version__,
        "ids": ids,
        "texts": [tokenizer.decode(each) for each in ids],
        "generated": generated,
        "num_infill_tokens": len(infill_prompt),
    }
    (folder / "output.json").write_text(json.dumps(output))
    safetensors.torch.save_file(
        {str(index): scores_of_prompt for index, scores_of_prompt in enumerate(scores)}, folder / "scores.safetensors"
    )


if __name__ == "__main__":
    main()
