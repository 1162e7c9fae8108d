"""Interactive completion: where a prompt begins as the previous one, only the rest of it is prefilled.

So typing, and deleting in the last lines before the cursor, take milliseconds; other edits prefill the prompt anew.

While a session holds a prompt, the memory is updated with that prompt, so nothing else may use the memory.
"""

from dataclasses import dataclass, field
from types import TracebackType

from cllm.generation.completer import Completer
from cllm.generation.completion import Completion
from cllm.generation.guide.guide import Guide
from cllm.generation.predict.predictors import MemoryPredictor, Predictor
from cllm.generation.predict.prompt import EncodedPrompt, Prompt
from cllm.generation.predict.sampling import SamplingParams


@dataclass
class CompletionSession:
    """A completer with the state of its last prompt; a context manager whose exit discards that state."""

    completer: Completer
    _predictor: Predictor | None = field(default=None, init=False)
    _guide: Guide | None = field(default=None, init=False)

    def complete(
        self, prompt: Prompt, params: SamplingParams, num_samples: int = 1, guide: Guide | None = None
    ) -> list[Completion]:
        """As `Completer.complete`; results are equal up to the rounding of sums."""
        encoded = self.completer.encode_prompt(prompt, params.max_tokens)
        previous, self._guide = self._guide, None  # the next guide reuses its parse trees
        guides = self.completer.guides(prompt, params, previous) if guide is None else iter([guide])
        predictor = self._predictor_for(encoded)
        (active_guide,) = guides
        self._guide = active_guide if guide is None else None
        return self.completer.complete_with(predictor, prompt, params, num_samples, active_guide)

    def _predictor_for(self, encoded: EncodedPrompt) -> Predictor:
        if isinstance(self._predictor, MemoryPredictor) and self._predictor.move_to(encoded):
            return self._predictor
        self._close_predictor()
        self._predictor = self.completer.predictor(encoded, is_editable=True).__enter__()
        return self._predictor

    def reset(self) -> None:
        """Discard the state of the last prompt."""
        self._close_predictor()
        self._guide = None

    def _close_predictor(self) -> None:
        if self._predictor is not None:
            self._predictor.__exit__()
            self._predictor = None

    def __enter__(self) -> "CompletionSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reset()
