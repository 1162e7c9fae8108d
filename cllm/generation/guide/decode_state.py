"""One way through the tokens: draw one, go on with it, until the text ends; and turn off where it went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch

from cllm.generation.guide.stopping import StoppingCriteria
from cllm.generation.predict.predictors import Predictor
from cllm.generation.predict.sampling import SamplingParams, sample_token
from cllm.syntax.words import is_word_byte
from cllm.tokenizer import Tokenizer

# The least chance of a token that is tried instead of another: to find those above it takes 0.2 ms, all that could be
# drawn 1.1 (2026-11-27).
MIN_ALTERNATIVE_PROBABILITY = 1e-3
MAX_WORD_TOKENS = 8  # beyond the most that were asked for


@dataclass(frozen=True)
class Step:
    """A token, what was written before it, and where the predictor stood then."""

    token: int
    text_before: bytes
    mark: Any


class DecodeState:
    """The tokens of one completion so far; `generated` are their bytes, without those of the prompt that they begin
    with.

    `end` is where the text ends in it, as soon as `finish_reason` says why.
    """

    def __init__(
        self,
        predictor: Predictor,
        tokenizer: Tokenizer,
        params: SamplingParams,
        stopping: StoppingCriteria | None = None,
    ) -> None:
        """Stand behind the predictor's prompt. Without an ending, one that only the parameters' stop words make."""
        predictor.restart()
        self._predictor, self._tokenizer, self._params = predictor, tokenizer, params
        self._stopping = stopping or StoppingCriteria(stop=params.stop)
        self._generator = torch.Generator().manual_seed(params.seed)
        self._synced_steps: list[Step] = []  # the steps that the predictor stands behind
        self.until = params.until
        self.steps: list[Step] = []
        self.generated, self.end, self.finish_reason = b"", 0, ""
        self._end_if_long()

    @property
    def text(self) -> bytes:
        """What is written, up to its end if it has one."""
        return self.generated[: self.end] if self.finish_reason else self.generated

    def tokens(self, length: int) -> list[int]:
        """The tokens that so many bytes begin in."""
        end_of_text = self._tokenizer.end_of_text
        return [step.token for step in self.steps if len(step.text_before) < length and step.token != end_of_text]

    def sync(self) -> None:
        """Have the predictor go on with what is written, as the next step does otherwise."""
        self._sync_to(self.steps)

    def step(self) -> None:
        """Draw a token and write it; the text may end with it."""
        self.sync()
        mark = self._predictor.mark()
        found = self._predictor.log_probabilities(self._token_prefix(len(self.steps)), self._params.temperature == 0)
        self._append(sample_token(found, self._params, self._generator), mark)

    def decode_to_line_end(self, num_committed: int) -> None:
        """Take steps until one behind the first `num_committed` ends a line, or the text ends."""
        while not self.finish_reason and not (
            len(self.steps) > num_committed and b"\n" in self.generated[len(self.steps[-1].text_before) :]
        ):
            self.step()

    def alternatives(self, step_index: int, limit: int) -> list[tuple[float, int]]:
        """The likeliest other tokens for a step, each with how much less likely it is than the best there (nats)."""
        step = self.steps[step_index]
        self._sync_to(self.steps[:step_index])
        found = self._predictor.log_probabilities(self._token_prefix(step_index), False, MIN_ALTERNATIVE_PROBABILITY)
        best = found.topk(min(limit + 1, len(found)))
        pairs = zip((best.values[0] - best.values).tolist(), best.indices.tolist(), strict=True)
        return [(loss, token) for loss, token in pairs if token != step.token and loss < float("inf")][:limit]

    def branch(self, steps: list[Step], token: int) -> None:
        """Go these steps, of which the last is to be another token: this one."""
        self.steps, self.generated, self.finish_reason = steps[:-1], steps[-1].text_before, ""
        self._append(token, steps[-1].mark)

    def _sync_to(self, steps: list[Step]) -> None:
        """Bring the predictor there, by way of the last place that it passed on the way here."""
        common = sum(
            1 for _ in takewhile(lambda pair: pair[0] is pair[1], zip(self._synced_steps, steps, strict=False))
        )
        if common < len(self._synced_steps):
            self._predictor.rewind(self._synced_steps[common].mark)
        for step in steps[common:]:
            self._predictor.accept(step.token)
        self._synced_steps = list(steps)

    def bytes_of(self, step_index: int, token: int) -> bytes:
        """What a token adds at a step."""
        return self._tokenizer.token_bytes(token)[len(self._token_prefix(step_index)) :]

    def _token_prefix(self, step_index: int) -> bytes:
        return self._predictor.token_prefix if step_index == 0 else b""

    def _append(self, token: int, mark: Any) -> None:
        content = self.bytes_of(len(self.steps), token)
        self.steps.append(Step(token, self.generated, mark))
        self.generated += content
        stop_offset = self._stopping.stop_offset(self.generated, len(content))
        if token == self._tokenizer.end_of_text or stop_offset is not None:
            self.finish_reason, self.end = "stop", len(self.generated) if stop_offset is None else stop_offset
        else:
            self._end_if_long()

    def finish_word(self) -> None:
        """Where the text is long enough inside of a word, end it with the word, which is seen by what comes next."""
        for _ in range(MAX_WORD_TOKENS):
            if not self.generated or not is_word_byte(self.generated[-1]):
                return
            before = len(self.generated)
            self.step()
            self.finish_reason, self.end = "length", len(self.generated)
            if before == len(self.generated) or not is_word_byte(self.generated[before]):
                self.end = before
                return

    def _end_if_long(self) -> None:
        if len(self.steps) >= self._params.max_tokens:
            self.finish_reason, self.end = "length", len(self.generated)


def decode_interleaved(states: Sequence[DecodeState]) -> None:
    """Go all walks to their ends, a step of each at a time."""
    while going := [state for state in states if not state.finish_reason]:
        for state in going:
            state.sync()
        for state in going:
            state.step()
