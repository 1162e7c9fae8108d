"""Data for comparing runtimes: whole held-out files for the tokenizer, their beginnings for the network."""

from collections.abc import Sequence
from dataclasses import dataclass

from cllm.dataset.fim import arrange_psm
from cllm.tokenizer import SPECIAL_TOKENS, Tokenizer

MAX_TEXT_BYTES = 4_000_000  # total size of the files whose ids are compared
MAX_WINDOWS = 8
# Per prompt; llama.cpp takes 30 ms per token to return log-probabilities of all 4,096 tokens.
MAX_GENERATED_TOKENS = 16
CONTEXT_SHARES = (0.0, 0.125, 0.5, 1.0)  # shares of the context that prompts fill
# Cases in which tokenizers differ: digits, whitespace before and at line ends, multi-byte characters, combining marks,
# contractions in capitals, and text that looks like a special token.
EDGE_CASES = (
    "".join(SPECIAL_TOKENS)
    + " x=0123456789;\t \r\n\r\n\n  if (a&&b)\r\n    don't DON'T we'LL '  \u00e9e\u0301\u00df\u4e2d\u6587\U0001f600"
    + "\u00a0\u2003_\u0394x\u0663 .\u200b,\n \n\t\t// \u2192\x7f    "
)


@dataclass(frozen=True, kw_only=True)
class VerificationSet:
    """Texts with their ids by cllm's tokenizer, windows of at most a context's length, and an infill prompt.

    `infill_prompt` holds the ids of the prompt for the text between `prefix` and `suffix`, in the order of llama.cpp's
    `/infill`: prefix, suffix. The network was trained with this order and one other.
    """

    texts: list[str]
    ids: list[list[int]]
    windows: list[list[int]]  # the beginnings of the longest texts, each after an end-of-text
    prefix: str
    suffix: str
    infill_prompt: list[int]
    max_tokens: int  # to generate after each prompt

    @property
    def prompts(self) -> list[list[int]]:
        """Beginnings of windows that leave room for `max_tokens`, the shortest being a single end-of-text."""
        prompts = []
        for index, share in enumerate(CONTEXT_SHARES):
            window = self.windows[index % len(self.windows)]
            prompts.append(window[: max(1, int(share * (len(window) - self.max_tokens)))])
        return prompts


def build_verification_set(documents: Sequence[bytes], tokenizer: Tokenizer, context_length: int) -> VerificationSet:
    """Build the verification set from documents, deterministically; without any, it holds only `EDGE_CASES`."""
    texts, bytes_left = [EDGE_CASES], MAX_TEXT_BYTES
    for document in documents:
        if len(document) <= bytes_left:
            texts.append(document.decode())
            bytes_left -= len(document)
    ids = [tokenizer.encode(text.encode()) for text in texts]
    longest = sorted(ids, key=len, reverse=True)
    context_tokens = context_length // 8
    prefix, suffix = (
        _text_of(longest[0][begin : begin + context_tokens], tokenizer) for begin in (0, 2 * context_tokens)
    )
    return VerificationSet(
        texts=texts,
        ids=ids,
        windows=[[tokenizer.end_of_text, *each][:context_length] for each in longest[:MAX_WINDOWS]],
        prefix=prefix,
        suffix=suffix,
        infill_prompt=arrange_psm(
            tokenizer.encode(prefix.encode()), tokenizer.encode(suffix.encode()), tokenizer.special
        ),
        max_tokens=max(1, min(MAX_GENERATED_TOKENS, context_length // 4)),
    )


def _text_of(ids: list[int], tokenizer: Tokenizer) -> str:
    """Decode tokens, without incomplete characters."""
    return tokenizer.decode(ids).decode(errors="ignore")
