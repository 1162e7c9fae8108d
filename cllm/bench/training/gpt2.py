"""The baseline: GPT-2 of Hugging Face Transformers with nanoGPT's recipe, in plain PyTorch."""

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, masking_utils

from cllm.bench.shared.recipe import NanoGptRecipe
from cllm.bench.shared.trainer_process import TrainerProcess, document_bits, serve_trainer


class Gpt2Trainer(TrainerProcess):
    """Trains a GPT-2 with AdamW; shapes as in `TrainerProcess`.

    Settings: `recipe`, its fields; `compiled`, whether to use torch.compile; `dtype`, autocast if "bfloat16".
    """

    def prepare(self, settings: dict[str, Any]) -> None:
        self._recipe = recipe = NanoGptRecipe(**settings["recipe"])
        config = GPT2Config(
            vocab_size=self.vocab_size,
            n_positions=recipe.context_length,
            n_embd=recipe.n_embd,
            n_layer=recipe.n_layer,
            n_head=recipe.n_head,
            activation_function="gelu_pytorch_tanh",  # GPT-2's own in one pass; Transformers' takes eight
            resid_pdrop=0.0,  # nanoGPT's default, and the best for the few epochs of some minutes
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=self.end_of_text,
            eos_token_id=self.end_of_text,
            use_cache=False,
        )
        self._network = GPT2LMHeadModel(config)
        matrices = [p for p in self._network.parameters() if p.dim() > 1]
        others = [p for p in self._network.parameters() if p.dim() < 2]
        self._optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
            betas=recipe.betas,
            fused=settings["compiled"],
        )
        self._uses_autocast = settings["dtype"] == "bfloat16"
        self._loss = self.loss
        if settings["compiled"]:
            # Before PyTorch 2.14 Transformers treats every compilation as an export, and computes attention with a
            # full mask.
            vars(masking_utils)["is_torchdynamo_exporting"] = lambda: False
            self._loss = torch.compile(self.loss)
            dummy_batch = torch.zeros(
                recipe.batch_size, recipe.context_length + 1, dtype=torch.int64
            )  # sliced as batches are: torch.compile specialises on strides
            with self._autocast():
                # This compiles the model and leaves the weights unchanged.
                torch.autograd.backward(self._loss(dummy_batch[:, :-1], dummy_batch[:, 1:]))
            self._optimizer.zero_grad(set_to_none=True)

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy (scalar) of targets (B, T) given inputs (B, T)."""
        logits = self._network(input_ids=inputs).logits
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))

    def step(self, progress: float) -> int:
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate(progress)
        inputs, targets = self.sample_batch(self._recipe.batch_size, self._recipe.context_length)
        with self._autocast():
            loss = self._loss(inputs, targets)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.max_gradient_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return inputs.numel()

    @torch.inference_mode()
    def bits(self, ids: npt.NDArray[np.int64]) -> float:
        def nats(inputs: Tensor, targets: Tensor) -> Tensor:
            logits = self._network(input_ids=inputs, logits_to_keep=len(targets)).logits[0]
            return F.cross_entropy(logits, targets, reduction="sum")

        return document_bits(ids, self._recipe.context_length, self.end_of_text, nats)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16) if self._uses_autocast else contextlib.nullcontext()


def main() -> None:
    """Serve calls to a `Gpt2Trainer`."""
    serve_trainer(Gpt2Trainer())
