"""What was learned of a repository, ready to write: network, memory and tokenizer, and which of them predict."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch

from cllm.ahead import ahead
from cllm.config import check_choice
from cllm.generation.completion import Completion, stream
from cllm.generation.decoder import Decoder
from cllm.generation.ending import Ending
from cllm.generation.guide import Guide
from cllm.generation.network import NetworkText
from cllm.generation.predictors import MOST_DRAFTED, MemoryPredictor, NetworkPredictor, Predictor
from cllm.generation.prompt import Laid, Prompt, lay_out
from cllm.generation.sampling import SamplingParams
from cllm.generation.together import MOST_TOGETHER
from cllm.generation.walk import Walk, go_together
from cllm.memory.memory import Memory
from cllm.memory.store import load_memory
from cllm.model.load import load_model
from cllm.model.transformer import Transformer
from cllm.tokenizer import Tokenizer

EXPERTS = ("mixed", "model", "memory")


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Completes prompts. Without a memory the network predicts alone, without a network the memory.

    `reader` is the model in the dtype in which it reads prompts, where that is another one.
    """

    tokenizer: Tokenizer
    model: Transformer | None
    memory: Memory | None
    reader: Transformer | None = None

    @classmethod
    def load(
        cls,
        model: Path,
        memory: Path,
        dtype: torch.dtype,
        experts: str = "mixed",
        update: Path | None = None,
        reading: torch.dtype | None = None,
    ) -> Self:
        """From the directories of a model, its memory and what that came to know since; of `experts` see EXPERTS.

        Prompts are read in the dtype `reading`: bfloat16, where the machine computes in it, takes a third of the time.
        """
        check_choice("--experts", experts, EXPERTS)
        tokenizer = Tokenizer.load(model / "tokenizer.json")
        return cls(
            tokenizer=tokenizer,
            model=load_model(model, dtype) if experts != "memory" else None,
            reader=load_model(model, reading) if experts != "memory" and reading not in (None, dtype) else None,
            memory=load_memory(memory, tokenizer, update) if experts != "model" else None,
        )

    def lay_out(self, prompt: Prompt, max_tokens: int) -> Laid:
        """The prompt as ids."""
        context = self.model.config.context_length if self.model is not None else 2
        return lay_out(prompt, self.tokenizer, context, max_tokens)

    @cached_property
    def decoder(self) -> Decoder | None:
        """The network's, if it computes in fp32."""
        is_wide = self.model is not None and self.model.embedding.weight.dtype == torch.float32
        return Decoder(self.model) if self.model is not None and is_wide else None

    def predictor(self, laid: Laid, most_drafted: int = MOST_DRAFTED) -> Predictor:
        """Who predicts what follows a prompt; to be entered. Of drafts see `MemoryPredictor`."""
        if self.model is None:
            assert self.memory is not None, "a writer needs a network or a memory"
            return MemoryPredictor(self.memory, None, laid)
        network = NetworkText(self.model, self.decoder, self.reader, most_drafted)
        if self.memory is None:
            return NetworkPredictor(network, self.tokenizer, laid)
        return MemoryPredictor(self.memory, network, laid, most_drafted)

    def complete(
        self, prompt: Prompt, params: SamplingParams, num_samples: int = 1, guide: Guide | None = None
    ) -> list[Completion]:
        """Completions of a prompt; sample i is the one of seed `params.seed` + i.

        Where they are to be valid, `guide` stands in for that of the prompt's language.
        """
        laid = self.lay_out(prompt, params.max_tokens)
        guides = self.guides(prompt, params) if guide is None else iter([guide])
        with self.predictor(laid) as predictor:
            (guide,) = guides
            return self.complete_with(predictor, prompt, params, num_samples, guide)

    def guides(self, prompt: Prompt, params: SamplingParams, last: Guide | None = None) -> Iterator[Guide | None]:
        """The one who watches what is written, if anybody does, made from now on beside what reads the prompt.

        `last`: see `Guide`.
        """
        language = prompt.language
        if not params.valid or language is None:
            return iter([None])
        return ahead((Guide(language, prompt.prefix, prompt.suffix, last).prepared() for _ in range(1)), 1)

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
        ending = Ending(params.until, params.stop, prompt.language, prompt.prefix, prompt.suffix)
        found, left = list[Completion](), [replace(params, seed=params.seed + sample) for sample in range(num_samples)]
        while left:
            count = MOST_TOGETHER if guide is None and isinstance(predictor, NetworkPredictor) and self.decoder else 1
            some, left = left[:count], left[count:]
            for walk in self._walks(predictor, some, ending):
                *_, completion = stream(walk, guide)
                found.append(completion)
        return found

    def _walks(self, predictor: Predictor, each: list[SamplingParams], ending: Ending) -> Iterator[Walk]:
        """A walk for each of several parameters; where there are several, they are gone together to their ends."""
        if len(each) == 1:
            yield Walk(predictor, self.tokenizer, each[0], ending)
            return
        assert isinstance(predictor, NetworkPredictor) and self.decoder is not None
        several = zip(predictor.several(len(each), self.decoder), each, strict=True)
        walks = [Walk(one, self.tokenizer, params, ending) for one, params in several]
        go_together(walks)
        yield from walks
