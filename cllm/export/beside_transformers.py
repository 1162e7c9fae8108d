"""The inside of a process that reads an export with Hugging Face's transformers, of version 4 or 5 (see `peers.py`)."""

import json
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

MOST_ROWS = 256  # of a prompt's logits, the last ones


@torch.inference_mode()
def write(model: Any, prompt: list[int], max_tokens: int) -> tuple[list[int], Tensor]:
    """The likeliest tokens after a prompt, by the peer's own loop; and logits (n, V) of all of it, read at once."""
    ids = torch.tensor([prompt])
    whole = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False)
    return whole[0, len(prompt) :].tolist(), model(whole[:, :-1]).logits[0, -MOST_ROWS:].clone()


def main() -> None:
    export, folder = sys.argv[1], Path(sys.argv[2])
    asked = json.loads((folder / "asked.json").read_text())
    tokenizer: Any = AutoTokenizer.from_pretrained(export, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(export, local_files_only=True, use_safetensors=True)

    def ids_of(text: str) -> Any:
        return tokenizer(text, split_special_tokens=True)["input_ids"]

    ids = [ids_of(text) for text in asked["texts"]]
    prefix, suffix, middle = tokenizer.convert_tokens_to_ids(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"])
    gap = [prefix, *ids_of(asked["before"]), suffix, *ids_of(asked["after"]), middle]
    prompts = [*asked["prompts"][:-1], gap]
    written, rows = zip(*[write(model, prompt, asked["max_tokens"]) for prompt in prompts], strict=True)
    said = {
        "version": transformers.__version__,
        "ids": ids,
        "texts": [tokenizer.decode(each) for each in ids],
        "written": written,
        "gap": len(gap),
    }
    (folder / "said.json").write_text(json.dumps(said))
    safetensors.torch.save_file({str(place): row for place, row in enumerate(rows)}, folder / "rows.safetensors")


if __name__ == "__main__":
    main()
