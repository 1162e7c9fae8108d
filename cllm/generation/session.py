"""Completions for somebody who types: of the next prompt only what is new is read, where it goes on with the last one.

While a session stands behind a prompt, its memory knows that prompt: nobody else may use it meanwhile.
"""

from dataclasses import dataclass, field
from types import TracebackType

from cllm.generation.completion import Completion
from cllm.generation.guide import Guide
from cllm.generation.predictors import MemoryPredictor, Predictor
from cllm.generation.prompt import Laid, Prompt
from cllm.generation.sampling import SamplingParams
from cllm.generation.writer import Writer


@dataclass
class Session:
    """A writer with what it read last; a context manager, whose end forgets it."""

    writer: Writer
    _predictor: Predictor | None = field(default=None, init=False)
    _guide: Guide | None = field(default=None, init=False)

    def complete(
        self, prompt: Prompt, params: SamplingParams, num_samples: int = 1, guide: Guide | None = None
    ) -> list[Completion]:
        """As `Writer.complete`, which it equals but for the rounding of sums."""
        laid = self.writer.lay_out(prompt, params.max_tokens)
        last, self._guide = self._guide, None  # what it knows, the next one takes
        guides = self.writer.guides(prompt, params, last) if guide is None else iter([guide])
        predictor = self._behind(laid)
        (made,) = guides
        self._guide = made if guide is None else None
        return self.writer.complete_with(predictor, prompt, params, num_samples, made)

    def _behind(self, laid: Laid) -> Predictor:
        if isinstance(self._predictor, MemoryPredictor) and self._predictor.extend(laid):
            return self._predictor
        self._leave()
        self._predictor = self.writer.predictor(laid).__enter__()
        return self._predictor

    def forget(self) -> None:
        """Know nothing of any prompt."""
        self._leave()
        self._guide = None

    def _leave(self) -> None:
        if self._predictor is not None:
            self._predictor.__exit__()
            self._predictor = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()
