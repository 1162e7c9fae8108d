"""Completions that match a grammar as a whole, from the cursor on.

text so far --> predictor --> log-probabilities --> mask of the matcher --> sample --> token

A completion ends when the end-of-text token is sampled or is the only allowed token. At the token limit, the shortest
end that `shortest_end` finds is appended, regardless of its probability.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np

from cllm.corpus.newlines import LF
from cllm.errors import UsageError
from cllm.generation.completer import Completer
from cllm.generation.completion import Completion, stream
from cllm.generation.grammar.grammar import Grammar
from cllm.generation.grammar.matcher import Matcher
from cllm.generation.grammar.shortest_end import shortest_end
from cllm.generation.guide.decode_state import DecodeState
from cllm.generation.predict.predictors import MIN_SAMPLED_PROBABILITY, Predictor
from cllm.generation.predict.prompt import Prompt
from cllm.generation.predict.prompt_text import whole_characters
from cllm.generation.predict.sampling import SamplingParams
from cllm.jit.compiled import Array
from cllm.tokenizer import Tokenizer


class ConstrainedPredictor:
    """A predictor whose distribution is masked by a matcher; both are at the same position of the text.

    There is no token healing: the grammar and not the tokenizer decides how the prompt's last word continues. The
    bytes that the inner predictor removed from the prompt for healing are encoded and accepted again; the grammar
    begins after them.
    """

    token_prefix = b""

    def __init__(self, predictor: Predictor, matcher: Matcher, tokenizer: Tokenizer) -> None:
        """`predictor` must be entered."""
        self._predictor, self._matcher = predictor, matcher
        self._prefix_tokens = tokenizer.encode(predictor.token_prefix)

    def restart(self) -> None:
        self._predictor.restart()
        for token in self._prefix_tokens:
            self._predictor.accept(token)
        self._matcher.restart()

    def log_probabilities(
        self, token_prefix: bytes, only_best: bool, min_probability: float = MIN_SAMPLED_PROBABILITY
    ) -> Array:
        """Log-probabilities (V,) float32 of the allowed tokens, not normalised; -inf for all other tokens."""
        assert not token_prefix
        allowed = self._matcher.allowed()
        equal = np.where(allowed, np.float32(0), -np.inf)
        if np.count_nonzero(allowed) == 1:
            return equal
        if only_best:
            found = self._predictor.log_probabilities(b"", True)
            if allowed[found.argmax()]:
                return np.where(allowed, found, -np.inf)
        for threshold in (min_probability, 0.0):
            found = np.where(allowed, self._predictor.log_probabilities(b"", False, threshold), -np.inf)
            if np.isfinite(found).any():
                return found
        return equal  # no allowed token has a probability above 0: all get the same weight

    def accept(self, token: int) -> None:
        self._predictor.accept(token)
        self._matcher.accept(token)

    def mark(self) -> tuple[Any, int]:
        return self._predictor.mark(), self._matcher.mark()

    def rewind(self, mark: tuple[Any, int]) -> None:
        self._predictor.rewind(mark[0])
        self._matcher.rewind(mark[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def stream_constrained(state: DecodeState, matcher: Matcher, tokenizer: Tokenizer) -> Iterator[Completion]:
    """Decode one completion, as `stream`, and end it by the grammar; `matcher` is that of the state's predictor."""
    for completion in stream(state):
        if completion.finish_reason:
            break
        yield completion
    matcher.restart()
    for token in completion.tokens:
        matcher.accept(token)
    shortest = shortest_end(matcher, tokenizer)
    if shortest == b"" and matcher.must_end:
        completion.finish_reason = "stop"
    completion.text = whole_characters(state.text + (shortest or b""))
    completion.tokens += tokenizer.encode(shortest or b"")
    completion.valid = shortest is not None
    yield completion


def complete_constrained(
    completer: Completer, grammar: Grammar, prompt: Prompt, params: SamplingParams, num_samples: int = 1
) -> list[Completion]:
    """As `Completer.complete`, but the grammar alone decides where a text ends and whether it is valid.

    `valid` is False if no end was found. `finish_reason` is "length" in that case, and where an end was appended. The
    grammar describes the text with LF, which is then written with the prompt's line ends.
    Raises UsageError if `params` has stop words.
    """
    if params.stop:
        raise UsageError("stop words cannot be combined with a grammar: the grammar decides where its text ends")
    matcher, tokenizer, found = Matcher(grammar, completer.tokenizer), completer.tokenizer, []
    with completer.predictor(completer.encode_prompt(prompt, params.max_tokens)) as inner:
        predictor = ConstrainedPredictor(inner, matcher, tokenizer)
        for sample in range(num_samples):
            sample_params = replace(params, seed=params.seed + sample, until="tokens", valid=False)
            *_, completion = stream_constrained(DecodeState(predictor, tokenizer, sample_params), matcher, tokenizer)
            # A grammar's text is left as it is where the prompt has LF: the grammar may require CRLF.
            text = completion.text if prompt.newline == LF else prompt.written(completion.text)
            found.append(replace(completion, text=text))
    return found
