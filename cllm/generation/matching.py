"""A completion that a grammar allows as a whole, from the cursor on.

text so far --> predictor --> log-probabilities --> those that the matcher allows --> draw --> token

It ends where the end of the text is drawn, or nothing else is allowed. One that is long enough before is ended the
shortest way, whatever is likely there.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor

from cllm.errors import UsageError
from cllm.generation.completion import Completion, stream
from cllm.generation.grammar import Grammar
from cllm.generation.matcher import Matcher
from cllm.generation.predictors import LEAST_DRAWN, Predictor
from cllm.generation.prompt import Prompt
from cllm.generation.sampling import SamplingParams
from cllm.generation.shortest import shortest_end
from cllm.generation.walk import Walk
from cllm.generation.writer import Writer
from cllm.tokenizer import Tokenizer

NEVER = float("-inf")


class MatchingPredictor:
    """A predictor that says only what a matcher allows; both stand behind the same text.

    The prompt's last piece is not healed: how the piece would go on, the grammar decides and not the tokenizer. What a
    predictor has taken back of the prompt it reads again, as tokens of its own, and the grammar begins behind them.
    """

    typed = b""

    def __init__(self, predictor: Predictor, matcher: Matcher, tokenizer: Tokenizer) -> None:
        """The predictor must be entered."""
        self._predictor, self._matcher = predictor, matcher
        self._typed = tokenizer.encode(predictor.typed)

    def restart(self) -> None:
        self._predictor.restart()
        for token in self._typed:
            self._predictor.accept(token)
        self._matcher.restart()
        self._num_tokens = 0

    def log_probabilities(self, typed: bytes, only_best: bool, least: float = LEAST_DRAWN) -> Tensor:
        """Of the allowed tokens (V,), not normalised."""
        assert not typed
        allowed = self._matcher.allowed()
        if int(allowed.count_nonzero()) == 1:
            return torch.zeros(len(allowed)).masked_fill(~allowed, NEVER)
        if only_best:
            found = self._predictor.log_probabilities(b"", True)
            if bool(allowed[found.argmax()]):
                return found.masked_fill(~allowed, NEVER)
        for chance in (least, 0.0):
            found = self._predictor.log_probabilities(b"", False, chance).masked_fill(~allowed, NEVER)
            if bool((found > NEVER).any()):
                return found
        return torch.zeros(len(allowed)).masked_fill(~allowed, NEVER)  # none has any chance, so all have the same

    def accept(self, token: int) -> None:
        self._predictor.accept(token)
        self._matcher.accept(token)
        self._num_tokens += 1

    def mark(self) -> tuple[Any, int]:
        return self._predictor.mark(), self._num_tokens

    def back_to(self, mark: tuple[Any, int]) -> None:
        self._predictor.back_to(mark[0])
        self._matcher.back(self._num_tokens - mark[1])
        self._num_tokens = mark[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def stream_matching(walk: Walk, matcher: Matcher, tokenizer: Tokenizer) -> Iterator[Completion]:
    """One completion, as `stream` has it; `matcher` is that of the walk's predictor."""
    for completion in stream(walk):
        if completion.finish_reason:
            break
        yield completion
    matcher.restart()
    for token in completion.tokens:
        matcher.accept(token)
    ending = shortest_end(matcher, tokenizer)
    if ending == b"" and matcher.must_end:
        completion.finish_reason = "stop"
    completion.text = (walk.text + (ending or b"")).decode("utf-8", "replace")
    completion.tokens += tokenizer.encode(ending or b"")
    completion.valid = ending is not None
    yield completion


def complete_matching(
    writer: Writer, grammar: Grammar, prompt: Prompt, params: SamplingParams, num_samples: int = 1
) -> list[Completion]:
    """As `Writer.complete`, but nothing else than the grammar says where a text ends, and what is valid.

    `valid` is False where no end was found; then `finish_reason` is "length", as where a text was ended.
    """
    if params.stop:
        raise UsageError("stop words do not go with a grammar, which says where its text ends")
    matcher, tokenizer, found = Matcher(grammar, writer.tokenizer), writer.tokenizer, []
    with writer.predictor(writer.lay_out(prompt, params.max_tokens)) as inner:
        predictor = MatchingPredictor(inner, matcher, tokenizer)
        for sample in range(num_samples):
            own = replace(params, seed=params.seed + sample, until="tokens", valid=False)
            *_, completion = stream_matching(Walk(predictor, tokenizer, own), matcher, tokenizer)
            found.append(completion)
    return found
