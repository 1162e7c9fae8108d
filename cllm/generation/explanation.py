"""Provenance of a completion: which spans are copied from the repository or the prompt, and the share that is new."""

from dataclasses import asdict
from typing import Any

import numpy as np

from cllm.corpus.newlines import LF, to_lf
from cllm.generation.predict.prompt import Prompt
from cllm.memory.index.index import Index, Source
from cllm.memory.index.provenance import find_copied_spans, new_share
from cllm.memory.memory import Memory


def explain(memory: Memory, prompt: Prompt, generated: str) -> dict[str, Any]:
    """Return the `sources` of a completion's copied spans (`begin`, `end` in bytes) and its `novel_share` of bytes.

    `generated` has the prompt's line ends, and `begin` and `end` are offsets in it; spans are found with LF. The file
    at the cursor is taken from the prompt; its older version in the memory's index is marked stale.
    """
    index = Index(memory.index.segments, memory.index.sources)
    if prompt.path is not None:
        index.mark_stale(prompt.path)
    prompt_parts = [prompt.prefix + b"\0", prompt.suffix + b"\0"]
    text = np.concatenate([memory.text[: memory.size], np.frombuffer(b"".join(prompt_parts), np.uint8)])
    begin, line = memory.size, 1
    for part in prompt_parts:
        index.sources.append(
            Source(path=prompt.path or "the prompt", sha256="", begin=begin, end=begin + len(part) - 1, first_line=line)
        )
        begin += len(part)
        line += part.count(b"\n")
    index.add_segment(text, memory.size, begin)
    content = generated.encode("utf-8", "replace")
    content = content if prompt.newline == LF else to_lf(content)
    found = find_copied_spans(index, text, prompt.prefix, content)

    def written(offset: int) -> int:
        return offset + (len(prompt.newline) - 1) * content.count(LF, 0, offset)

    return {
        "sources": [
            {**asdict(span), "begin": written(span.begin), "end": written(span.end), "location": span.location}
            for span in found
        ],
        "novel_share": new_share(found, content),
    }
