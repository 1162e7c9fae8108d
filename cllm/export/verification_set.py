"""What ours and theirs are compared on: whole held-out files for the words, their beginnings for the network."""

from collections.abc import Sequence
from dataclasses import dataclass

from cllm.dataset.fim import arrange_psm
from cllm.tokenizer import SPECIAL_TOKENS, Tokenizer

MAX_TEXT_BYTES = 4_000_000  # of files whose ids are compared
MAX_WINDOWS = 8
# After each prompt; to say of all 4,096 words how likely they are takes llama.cpp 30 ms each.
MAX_GENERATED_TOKENS = 16
CONTEXT_SHARES = (0.0, 0.125, 0.5, 1.0)  # of the context that prompts fill
# Where tokenizers differ: digits, blanks before and at line ends, signs of two bytes and more, marks that combine,
# contractions in capitals, and text that looks like a special token.
EDGE_CASES = (
    "".join(SPECIAL_TOKENS)
    + " x=0123456789;\t \r\n\r\n\n  if (a&&b)\r\n    don't DON'T we'LL '  \u00e9e\u0301\u00df\u4e2d\u6587\U0001f600"
    + "\u00a0\u2003_\u0394x\u0663 .\u200b,\n \n\t\t// \u2192\x7f    "
)


@dataclass(frozen=True, kw_only=True)
class VerificationSet:
    """Texts with the ids that ours gives them, windows of a context's length at most, and a text with a gap.

    The gap is between `prefix` and `suffix`; `infill_prompt` are the ids of the prompt to fill it, in the order of
    llama.cpp's
    `/infill`: prefix, suffix. It is one of the two orders that the network has learned.
    """

    texts: list[str]
    ids: list[list[int]]
    windows: list[list[int]]  # the beginnings of the longest texts, each after an end-of-text
    prefix: str
    suffix: str
    infill_prompt: list[int]
    max_tokens: int  # to write after each prompt

    @property
    def prompts(self) -> list[list[int]]:
        """Beginnings of windows that leave room for `max_tokens`, from a single end-of-text on."""
        prompts = []
        for index, share in enumerate(CONTEXT_SHARES):
            window = self.windows[index % len(self.windows)]
            prompts.append(window[: max(1, int(share * (len(window) - self.max_tokens)))])
        return prompts


def build_verification_set(documents: Sequence[bytes], tokenizer: Tokenizer, context_length: int) -> VerificationSet:
    """From documents; the same ones give the same. Without any, `EDGE_CASES` is all there is."""
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
    """Whole characters of some tokens."""
    return tokenizer.decode(ids).decode(errors="ignore")
