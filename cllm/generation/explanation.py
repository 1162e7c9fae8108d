"""Where a completion comes from: what of it stands in the repository or around the cursor, and what is new."""

from dataclasses import asdict
from typing import Any

import numpy as np

from cllm.generation.prompt import Prompt
from cllm.memory.index import Index, Source
from cllm.memory.memory import Memory
from cllm.memory.provenance import new_share, stretches


def explain(memory: Memory, prompt: Prompt, written: str) -> dict[str, Any]:
    """The verbatim `sources` of a completion's stretches (`begin`, `end` in bytes), and the `new` share of its bytes.

    The file that is completed counts as the prompt has it, not as it was read.
    """
    index = Index(memory.index.segments, memory.index.sources)
    if prompt.path is not None:
        index.forget(prompt.path)
    around = [prompt.prefix + b"\0", prompt.suffix + b"\0"]
    text = np.concatenate([memory.text[: memory.size], np.frombuffer(b"".join(around), np.uint8)])
    begin, line = memory.size, 1
    for part in around:
        index.sources.append(
            Source(path=prompt.path or "the prompt", sha256="", begin=begin, end=begin + len(part) - 1, first_line=line)
        )
        begin += len(part)
        line += part.count(b"\n")
    index.sort(text, memory.size, begin)
    content = written.encode("utf-8", "replace")
    found = stretches(index, text, prompt.prefix, content)
    return {
        "sources": [{**asdict(stretch), "place": stretch.place} for stretch in found],
        "new": new_share(found, content),
    }
