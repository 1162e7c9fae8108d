"""Completion with a trained network, a memory, or both, and their tokenizer."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from cllm.background_iterator import background_iterator
from cllm.config import check_choice
from cllm.generation.completion import Completion, stream
from cllm.generation.guide.customs import Customs, FileErrors
from cllm.generation.guide.decode_state import DecodeState, decode_interleaved
from cllm.generation.guide.guide import Guide
from cllm.generation.guide.repetition import Repetition
from cllm.generation.guide.stopping import StoppingCriteria
from cllm.generation.infill.known_text import KnownText
from cllm.generation.infill.right_context import RightContext
from cllm.generation.predict.network import Network
from cllm.generation.predict.predictors import MAX_DRAFTED, MemoryPredictor, NetworkPredictor, Predictor
from cllm.generation.predict.prompt import EncodedPrompt, Prompt, encode_prompt
from cllm.generation.predict.sample_batch import MAX_BATCH_SAMPLES
from cllm.generation.predict.sampling import SamplingParams
from cllm.generation.predict.sequence import NetworkSequence
from cllm.memory.memory import Memory
from cllm.memory.store import load_memory
from cllm.tokenizer import Tokenizer

EXPERTS = ("mixed", "model", "memory")


@dataclass(frozen=True, kw_only=True)
class Completer:
    """Completes prompts. Without a memory, the network predicts alone; without a network, the memory predicts alone."""

    tokenizer: Tokenizer
    network: Network | None
    memory: Memory | None

    @classmethod
    def load(cls, model: Path, memory: Path, experts: str = "mixed", update: Path | None = None) -> Self:
        """Load a completer from the directories of a model and its memory.

        `update` is the directory of the memory's update. `experts` is one of EXPERTS.
        """
        check_choice("--experts", experts, EXPERTS)
        tokenizer = Tokenizer.load(model / "tokenizer.json")
        return cls(
            tokenizer=tokenizer,
            network=Network.load(model) if experts != "memory" else None,
            memory=load_memory(memory, tokenizer, update) if experts != "model" else None,
        )

    def encode_prompt(self, prompt: Prompt, max_tokens: int) -> EncodedPrompt:
        """Encode a prompt as ids, with room for `max_tokens` in the network's context."""
        context = self.network.config.context_length if self.network is not None else 2
        return encode_prompt(prompt, self.tokenizer, context, max_tokens)

    @cached_property
    def file_errors(self) -> FileErrors:
        """Where the grammars reject files of the repository."""
        return FileErrors()

    def predictor(
        self, encoded: EncodedPrompt, max_drafted: int = MAX_DRAFTED, *, is_editable: bool = False
    ) -> Predictor:
        """Return a predictor of the tokens after a prompt; a context manager that the caller must enter.

        `max_drafted`, `is_editable`: see `MemoryPredictor`.
        """
        if self.network is None:
            assert self.memory is not None, "a completer needs a network or a memory"
            return MemoryPredictor(self.memory, None, encoded, is_editable=is_editable)
        sequence = NetworkSequence(self.network, max_drafted)
        if self.memory is None:
            return NetworkPredictor(sequence, self.tokenizer, encoded)
        return MemoryPredictor(self.memory, sequence, encoded, max_drafted, is_editable=is_editable)

    def complete(
        self, prompt: Prompt, params: SamplingParams, num_samples: int = 1, guide: Guide | None = None
    ) -> list[Completion]:
        """Return `num_samples` completions of a prompt; sample i uses the seed `params.seed` + i.

        If `params.valid` is set, `guide` replaces the default guide of the prompt's language.
        """
        encoded = self.encode_prompt(prompt, params.max_tokens)
        guides = self.guides(prompt, params) if guide is None else iter([guide])
        with self.predictor(encoded) as predictor:
            (guide,) = guides
            return self.complete_with(predictor, prompt, params, num_samples, guide)

    def guides(self, prompt: Prompt, params: SamplingParams, previous: Guide | None = None) -> Iterator[Guide | None]:
        """Yield the guide of a completion, or None if `params.valid` is not set or the language has no grammar.

        The guide is built in a background thread, in parallel with prefill. `previous`: see `Guide`.
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
        """As `complete`, with an entered predictor of the prompt and an optional guide."""
        guide = guide if params.valid else None
        known = KnownText(prompt.prefix, prompt.suffix, self.memory)
        if guide is not None:
            guide.customs = Customs(guide.language, known.places, self.file_errors)
        right = self._right_context(prompt, predictor, known)
        repetition = Repetition(prompt.prefix, known.has_text) if params.until != "tokens" else None
        stopping = StoppingCriteria(
            params.until, params.stop, prompt.language, prompt.prefix, prompt.suffix, prompt.encoding
        )
        found, remaining = (
            list[Completion](),
            [replace(params, seed=params.seed + sample) for sample in range(num_samples)],
        )
        while remaining:
            is_unchecked = guide is None and repetition is None
            count = MAX_BATCH_SAMPLES if is_unchecked and isinstance(predictor, NetworkPredictor) else 1
            chunk, remaining = remaining[:count], remaining[count:]
            for state in self._decode_states(predictor, chunk, stopping, repetition):
                *_, completion = stream(state, guide, right)
                found.append(replace(completion, text=prompt.written(completion.text)))
        return found

    def _right_context(self, prompt: Prompt, predictor: Predictor, known: KnownText) -> RightContext | None:
        """The text to the right of the cursor if there is any and a memory can price it."""
        if not prompt.suffix.strip() or not isinstance(predictor, MemoryPredictor):
            return None
        return RightContext(prefix=prompt.prefix, suffix=prompt.suffix, gap_costs=predictor.gap_costs, known=known)

    def _decode_states(
        self,
        predictor: Predictor,
        params_list: list[SamplingParams],
        stopping: StoppingCriteria,
        repetition: Repetition | None,
    ) -> Iterator[DecodeState]:
        """Yield a decode state for each of `params_list`; several states are decoded to their ends in one batch."""
        if len(params_list) == 1:
            yield DecodeState(predictor, self.tokenizer, params_list[0], stopping, repetition)
            return
        assert isinstance(predictor, NetworkPredictor) and self.network is not None
        forked = zip(predictor.forked(len(params_list), self.network), params_list, strict=True)
        states = [DecodeState(one, self.tokenizer, params, stopping) for one, params in forked]
        decode_interleaved(states)
        yield from states
