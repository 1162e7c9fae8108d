"""One way through the tokens: draw one, go on with it, until the text ends; and turn off where it went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch

from cllm.generation.ending import Ending
from cllm.generation.predictors import Predictor
from cllm.generation.sampling import SamplingParams, draw
from cllm.syntax.words import is_word
from cllm.tokenizer import Tokenizer

# The least chance of a token that is tried instead of another: to find those above it takes 0.2 ms, all that could be
# drawn 1.1 (2026-11-27).
LEAST_OTHER = 1e-3
MOST_WORD_TOKENS = 8  # beyond the most that were asked for


@dataclass(frozen=True)
class Step:
    """A token, what was written before it, and where the predictor stood then."""

    token: int
    before: bytes
    mark: Any


class Walk:
    """The tokens of one completion so far; `written` are their bytes, without those of the prompt that they begin with.

    `end` is where the text ends in it, as soon as `finish_reason` says why.
    """

    def __init__(
        self, predictor: Predictor, tokenizer: Tokenizer, params: SamplingParams, ending: Ending | None = None
    ) -> None:
        """Stand behind the predictor's prompt. Without an ending, one that only the parameters' stop words make."""
        predictor.restart()
        self._predictor, self._tokenizer, self._params = predictor, tokenizer, params
        self._ending = ending or Ending(stop=params.stop)
        self._generator = torch.Generator().manual_seed(params.seed)
        self._here: list[Step] = []  # the steps that the predictor stands behind
        self.until = params.until
        self.steps: list[Step] = []
        self.written, self.end, self.finish_reason = b"", 0, ""
        self._end_if_long()

    @property
    def text(self) -> bytes:
        """What is written, up to its end if it has one."""
        return self.written[: self.end] if self.finish_reason else self.written

    def tokens(self, length: int) -> list[int]:
        """The tokens that so many bytes begin in."""
        end_of_text = self._tokenizer.end_of_text
        return [step.token for step in self.steps if len(step.before) < length and step.token != end_of_text]

    def stand(self) -> None:
        """Have the predictor go on with what is written, as the next step does otherwise."""
        self._stand_behind(self.steps)

    def step(self) -> None:
        """Draw a token and write it; the text may end with it."""
        self.stand()
        mark = self._predictor.mark()
        found = self._predictor.log_probabilities(self._typed(len(self.steps)), self._params.temperature == 0)
        self._write(draw(found, self._params, self._generator), mark)

    def to_line_end(self, settled: int) -> None:
        """Take steps until one behind the first `settled` ends a line, or the text ends."""
        while not self.finish_reason and not (
            len(self.steps) > settled and b"\n" in self.written[len(self.steps[-1].before) :]
        ):
            self.step()

    def others(self, place: int, most: int) -> list[tuple[float, int]]:
        """The likeliest other tokens for a step, each with how much less likely it is than the best there (nats)."""
        step = self.steps[place]
        self._stand_behind(self.steps[:place])
        found = self._predictor.log_probabilities(self._typed(place), False, LEAST_OTHER)
        best = found.topk(min(most + 1, len(found)))
        pairs = zip((best.values[0] - best.values).tolist(), best.indices.tolist(), strict=True)
        return [(loss, token) for loss, token in pairs if token != step.token and loss < float("inf")][:most]

    def turn(self, steps: list[Step], token: int) -> None:
        """Go these steps, of which the last is to be another token: this one."""
        self.steps, self.written, self.finish_reason = steps[:-1], steps[-1].before, ""
        self._write(token, steps[-1].mark)

    def _stand_behind(self, steps: list[Step]) -> None:
        """Bring the predictor there, by way of the last place that it passed on the way here."""
        common = sum(1 for _ in takewhile(lambda pair: pair[0] is pair[1], zip(self._here, steps, strict=False)))
        if common < len(self._here):
            self._predictor.back_to(self._here[common].mark)
        for step in steps[common:]:
            self._predictor.accept(step.token)
        self._here = list(steps)

    def content(self, place: int, token: int) -> bytes:
        """What a token adds at a step."""
        return self._tokenizer.token_bytes(token)[len(self._typed(place)) :]

    def _typed(self, place: int) -> bytes:
        return self._predictor.typed if place == 0 else b""

    def _write(self, token: int, mark: Any) -> None:
        content = self.content(len(self.steps), token)
        self.steps.append(Step(token, self.written, mark))
        self.written += content
        place = self._ending.place(self.written, len(content))
        if token == self._tokenizer.end_of_text or place is not None:
            self.finish_reason, self.end = "stop", len(self.written) if place is None else place
        else:
            self._end_if_long()

    def finish_word(self) -> None:
        """Where the text is long enough inside of a word, end it with the word, which is seen by what comes next."""
        for _ in range(MOST_WORD_TOKENS):
            if not self.written or not is_word(self.written[-1]):
                return
            before = len(self.written)
            self.step()
            self.finish_reason, self.end = "length", len(self.written)
            if before == len(self.written) or not is_word(self.written[before]):
                self.end = before
                return

    def _end_if_long(self) -> None:
        if len(self.steps) >= self._params.max_tokens:
            self.finish_reason, self.end = "length", len(self.written)


def go_together(walks: Sequence[Walk]) -> None:
    """Go all walks to their ends, a step of each at a time."""
    while going := [walk for walk in walks if not walk.finish_reason]:
        for walk in going:
            walk.stand()
        for walk in going:
            walk.step()
