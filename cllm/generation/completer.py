"""What was learned of a repository, ready to write: network, memory and tokenizer, and which of them predict."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch

from cllm.background_iterator import background_iterator
from cllm.config import check_choice
from cllm.generation.completion import Completion, stream
from cllm.generation.guide.decode_state import DecodeState, decode_interleaved
from cllm.generation.guide.guide import Guide
from cllm.generation.guide.stopping import StoppingCriteria
from cllm.generation.predict.decoder import Decoder
from cllm.generation.predict.predictors import MAX_DRAFTED, MemoryPredictor, NetworkPredictor, Predictor
from cllm.generation.predict.prompt import EncodedPrompt, Prompt, encode_prompt
from cllm.generation.predict.sample_batch import MAX_BATCH_SAMPLES
from cllm.generation.predict.sampling import SamplingParams
from cllm.generation.predict.sequence import NetworkSequence
from cllm.memory.memory import Memory
from cllm.memory.store import load_memory
from cllm.model.load import load_model
from cllm.model.transformer import Transformer
from cllm.tokenizer import Tokenizer

EXPERTS = ("mixed", "model", "memory")


@dataclass(frozen=True, kw_only=True)
class Completer:
    """Completes prompts. Without a memory the network predicts alone, without a network the memory.

    `prefill_model` is the model in the dtype in which it reads prompts, where that is another one.
    """

    tokenizer: Tokenizer
    model: Transformer | None
    memory: Memory | None
    prefill_model: Transformer | None = None

    @classmethod
    def load(
        cls,
        model: Path,
        memory: Path,
        dtype: torch.dtype,
        experts: str = "mixed",
        update: Path | None = None,
        prefill_dtype: torch.dtype | None = None,
    ) -> Self:
        """From the directories of a model, its memory and what that came to know since; of `experts` see EXPERTS.

        Prompts are read in the dtype `prefill_dtype`: bfloat16, where the machine computes in it, takes a third of
        the time.
        """
        check_choice("--experts", experts, EXPERTS)
        tokenizer = Tokenizer.load(model / "tokenizer.json")
        return cls(
            tokenizer=tokenizer,
            model=load_model(model, dtype) if experts != "memory" else None,
            prefill_model=load_model(model, prefill_dtype)
            if experts != "memory" and prefill_dtype not in (None, dtype)
            else None,
            memory=load_memory(memory, tokenizer, update) if experts != "model" else None,
        )

    def encode_prompt(self, prompt: Prompt, max_tokens: int) -> EncodedPrompt:
        """The prompt as ids."""
        context = self.model.config.context_length if self.model is not None else 2
        return encode_prompt(prompt, self.tokenizer, context, max_tokens)

    @cached_property
    def decoder(self) -> Decoder | None:
        """The network's, if it computes in fp32."""
        is_wide = self.model is not None and self.model.embedding.weight.dtype == torch.float32
        return Decoder(self.model) if self.model is not None and is_wide else None

    def predictor(self, encoded: EncodedPrompt, max_drafted: int = MAX_DRAFTED) -> Predictor:
        """Who predicts what follows a prompt; to be entered. Of drafts see `MemoryPredictor`."""
        if self.model is None:
            assert self.memory is not None, "a writer needs a network or a memory"
            return MemoryPredictor(self.memory, None, encoded)
        network = NetworkSequence(self.model, self.decoder, self.prefill_model, max_drafted)
        if self.memory is None:
            return NetworkPredictor(network, self.tokenizer, encoded)
        return MemoryPredictor(self.memory, network, encoded, max_drafted)

    def complete(
        self, prompt: Prompt, params: SamplingParams, num_samples: int = 1, guide: Guide | None = None
    ) -> list[Completion]:
        """Completions of a prompt; sample i is the one of seed `params.seed` + i.

        Where they are to be valid, `guide` stands in for that of the prompt's language.
        """
        encoded = self.encode_prompt(prompt, params.max_tokens)
        guides = self.guides(prompt, params) if guide is None else iter([guide])
        with self.predictor(encoded) as predictor:
            (guide,) = guides
            return self.complete_with(predictor, prompt, params, num_samples, guide)

    def guides(self, prompt: Prompt, params: SamplingParams, previous: Guide | None = None) -> Iterator[Guide | None]:
        """The one who watches what is written, if anybody does, made from now on beside what reads the prompt.

        `last`: see `Guide`.
        """
        language = prompt.language
        if not params.valid or language is None:
            return iter([None])
        return background_iterator(
            (Guide(language, prompt.prefix, prompt.suffix, previous).prepared() for _ in range(1)), 1
        )

    def complete_with(
        self,
        predictor: Predictor,
        prompt: Prompt,
        params: SamplingParams,
        num_samples: int = 1,
        guide: Guide | None = None,
    ) -> list[Completion]:
        """The same by a predictor that stands behind the prompt, watched by the guide, if there is one."""
        guide = guide if params.valid else None
        stopping = StoppingCriteria(params.until, params.stop, prompt.language, prompt.prefix, prompt.suffix)
        found, remaining = (
            list[Completion](),
            [replace(params, seed=params.seed + sample) for sample in range(num_samples)],
        )
        while remaining:
            count = (
                MAX_BATCH_SAMPLES if guide is None and isinstance(predictor, NetworkPredictor) and self.decoder else 1
            )
            chunk, remaining = remaining[:count], remaining[count:]
            for state in self._decode_states(predictor, chunk, stopping):
                *_, completion = stream(state, guide)
                found.append(completion)
        return found

    def _decode_states(
        self, predictor: Predictor, params_list: list[SamplingParams], stopping: StoppingCriteria
    ) -> Iterator[DecodeState]:
        """A state for each of `params_list`; where there are several, they are decoded together to their ends."""
        if len(params_list) == 1:
            yield DecodeState(predictor, self.tokenizer, params_list[0], stopping)
            return
        assert isinstance(predictor, NetworkPredictor) and self.decoder is not None
        forked = zip(predictor.forked(len(params_list), self.decoder), params_list, strict=True)
        states = [DecodeState(one, self.tokenizer, params, stopping) for one, params in forked]
        decode_interleaved(states)
        yield from states
