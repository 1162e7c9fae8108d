"""Complete a text, at its end or in its middle.

The prompt is the text before the cursor, the text after it if there is any (then it is laid out for filling in the
middle, see `cllm.dataset.fim`), and the file's path if it is known. Text comes out as it is complete: bytes of a
character that is not finished wait for the rest of it.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field

from cllm.dataset.fim import arrange_psm
from cllm.generation.decode import decode
from cllm.generation.sampling import SamplingParams
from cllm.model.transformer import Transformer
from cllm.tokenizer import Tokenizer

PARAGRAPH = b"\n\n"
BYTES_PER_TOKEN = 16  # far more than the average, so that the context is always filled
SUFFIX_SHARE = 4  # at most one part in this many of the context is text after the cursor


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is known: bytes before and after the cursor; the file's path, relative to the repository."""

    prefix: bytes
    suffix: bytes = b""
    path: str | None = None


@dataclass
class Completion:
    """One sample: its text so far, its tokens, and why it ended ("" while it goes on)."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = ""


def prompt_ids(prompt: Prompt, tokenizer: Tokenizer, context_length: int, max_tokens: int) -> list[int]:
    """The prompt as ids, cut to leave room for `max_tokens`: the prefix loses its beginning, the suffix its end.

    A prompt with a path is the beginning of that file. One without is a new paragraph somewhere in a file: most rows
    that were learned begin there, while at the beginning of a file comes what stands there (a licence, imports).
    """
    special = tokenizer.special
    near = context_length * BYTES_PER_TOKEN  # what is farther from the cursor is not even encoded
    before, after = prompt.prefix[-near:], prompt.suffix[:near]
    header: list[int] = []
    if prompt.path is not None:
        path = f"{prompt.path}\n".encode("utf-8", "surrogateescape")
        header = [special["<|file_sep|>"], *tokenizer.encode(path)]
    elif not after:
        before = PARAGRAPH + before
    room = max(context_length // 2, context_length - max_tokens) - len(header) - 3
    if not after:
        return [*header, *tokenizer.encode(before)[-room:]]
    suffix = tokenizer.encode(after)[: context_length // SUFFIX_SHARE]
    prefix = tokenizer.encode(before)[-(room - len(suffix)) :]
    return [*header, *arrange_psm(prefix, suffix, special)]


def stream(
    model: Transformer, tokenizer: Tokenizer, prompt: Prompt, params: SamplingParams, num_samples: int = 1
) -> Iterator[list[Completion]]:
    """Complete `num_samples` times at once; yields the same list of completions after every token."""
    completions = [Completion() for _ in range(num_samples)]
    decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in completions]
    ids = prompt_ids(prompt, tokenizer, model.config.context_length, params.max_tokens)
    typed, first = b"", None
    if not prompt.suffix:
        ids, typed, first = heal(ids, tokenizer)
    banned = [index for name, index in tokenizer.special.items() if name != "<|endoftext|>"]
    for tokens in decode(model, ids, params, num_samples, banned, first):
        for completion, decoder, token in zip(completions, decoders, tokens, strict=True):
            if not completion.finish_reason:
                extend(completion, token, tokenizer.token_bytes(token)[len(typed) :], tokenizer, decoder, params.stop)
        typed = b""
        yield completions
        if all(completion.finish_reason for completion in completions):
            return
    for completion, decoder in zip(completions, decoders, strict=True):
        if not completion.finish_reason:
            completion.text += decoder.decode(b"", final=True)
            completion.finish_reason = "length"
    yield completions


def heal(ids: list[int], tokenizer: Tokenizer) -> tuple[list[int], bytes, list[int] | None]:
    """The prompt without its last token, that token's bytes, and the tokens that begin with them.

    A text may end inside what would be one token if it went on ("def " before " name", "prin" before "print"). The
    model never saw it cut there; so the last token is chosen again, among those that say what was typed and perhaps
    more ("token healing").
    """
    typed = tokenizer.token_bytes(ids[-1])
    if len(ids) < 2 or not typed:
        return ids, b"", None
    return ids[:-1], typed, [i for i in range(tokenizer.vocab_size) if tokenizer.token_bytes(i).startswith(typed)]


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


def complete(
    model: Transformer, tokenizer: Tokenizer, prompt: Prompt, params: SamplingParams, num_samples: int = 1
) -> list[Completion]:
    """The finished completions of a prompt."""
    completions: list[Completion] = []
    for completions in stream(model, tokenizer, prompt, params, num_samples):  # noqa: B007
        pass
    return completions
