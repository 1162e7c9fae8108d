"""The line with a document's path, with which some documents of a shard begin."""

import numpy as np
import numpy.typing as npt

from cllm.tokenizer import Tokenizer


def path_header(path: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of the line with a path; a token that no text has comes first."""
    line = f"{path}\n".encode("utf-8", "surrogateescape")
    return [tokenizer.special["<|file_sep|>"], *tokenizer.encode(line)]


def text_ids(document_ids: npt.NDArray[np.integer], path: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of a document's text: those in a shard (N,) without its header and its end-of-text token."""
    has_header = document_ids[0] == tokenizer.special["<|file_sep|>"]
    begin = len(path_header(path, tokenizer)) if has_header else 0
    ids: list[int] = document_ids[begin:-1].tolist()
    return ids
