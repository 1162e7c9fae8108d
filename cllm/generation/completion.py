"""Complete a text, at its end or in its middle: draw a token, go on with it, again and again.

Text comes out as it is complete: bytes of a character that is not finished wait for the rest of it.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from cllm.generation.predictors import Predictor
from cllm.generation.sampling import SamplingParams, draw
from cllm.tokenizer import Tokenizer


@dataclass
class Completion:
    """One sample: its text so far, its tokens, and why it ended ("" while it goes on)."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""


def stream(predictor: Predictor, tokenizer: Tokenizer, params: SamplingParams) -> Iterator[Completion]:
    """One completion of the predictor's prompt; yields the same object after every token."""
    predictor.restart()
    typed = predictor.typed
    completion = Completion()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    generator = torch.Generator().manual_seed(params.seed)
    while not completion.finish_reason and len(completion.tokens) < params.max_tokens:
        log_probabilities = predictor.log_probabilities(typed, params.temperature == 0)
        token = draw(log_probabilities, params, generator)
        extend(completion, token, tokenizer.token_bytes(token)[len(typed) :], tokenizer, decoder, params.stop)
        typed = b""
        yield completion
        if not completion.finish_reason and len(completion.tokens) < params.max_tokens:
            predictor.accept(token)
    if not completion.finish_reason:
        completion.text += decoder.decode(b"", final=True)
        completion.finish_reason = "length"
    yield completion


def extend(
    completion: Completion,
    token: int,
    content: bytes,
    tokenizer: Tokenizer,
    decoder: codecs.IncrementalDecoder,
    stop: tuple[str, ...],
) -> None:
    """Add a token and its new bytes to a completion; the end of the text, or a stop string, ends it."""
    if token == tokenizer.end_of_text:
        completion.text += decoder.decode(b"", final=True)
        completion.finish_reason = "stop"
        return
    completion.tokens.append(token)
    completion.text += decoder.decode(content)
    places = [place for place in (completion.text.find(word) for word in stop) if place >= 0]
    if places:
        completion.text = completion.text[: min(places)]
        completion.finish_reason = "stop"
