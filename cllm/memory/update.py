"""Update a memory to the repository's present files without a rebuild.

Removed content is excluded from the index and from matches; the mixer, which was trained on it, forgets it only when
the memory is rebuilt. New content is available to matches and citations at once, and is then trained on.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cllm.corpus import Corpus
from cllm.machine import WorkTimer
from cllm.memory.index.index import Source
from cllm.memory.memory import MAX_SLOTS_PER_BYTE, Memory
from cllm.memory.mixer.journal import new_journal
from cllm.memory.store import save_update

EXPECTED_BYTES_PER_SECOND = 40_000  # of training, until it is measured


def update_memory(
    memory: Memory, directory: Path, corpus: Corpus, update: Path, seconds: float | None = None
) -> dict[str, Any]:
    """Write to `update` the difference between a corpus and a memory, which must be as it was saved in `directory`.

    The update is saved twice: indexed, then trained on. With `seconds`, only documents are trained on for which the
    time suffices. Returns the lists of paths `new` and `stale`, and the number of documents `not_trained_on`.
    """
    began = time.monotonic()
    begin, num_old_sources = memory.size, len(memory.index.sources)
    gone = mark_removed_stale(memory, corpus)
    metadata = {"new": index_new_documents(memory, corpus), "stale": gone}
    save_began = time.monotonic()
    save_update(memory, begin, update, directory, is_trained=False, **metadata)
    memory.journal = new_journal(memory.state.slots, MAX_SLOTS_PER_BYTE * (memory.size - begin + 1))
    if seconds is not None:  # what is left of them, without the time of the second save
        now = time.monotonic()
        seconds -= now - began + now - save_began
    num_left_out = train_on_sources(memory, memory.index.sources[num_old_sources:], seconds)
    save_update(memory, begin, update, directory, is_trained=True, **metadata)
    return {**metadata, "not_trained_on": num_left_out}


def train_on_sources(memory: Memory, sources: Sequence[Source], seconds: float | None) -> int:
    """Train on indexed documents, except those that `seconds` do not suffice for; returns the number left out."""
    timer, num_left_out = WorkTimer(seconds, EXPECTED_BYTES_PER_SECOND), 0
    for source in sources:
        size = source.end - source.begin
        if timer.has_time_for(size):
            memory.train_on_indexed(source)
            timer.add(size)
        else:
            num_left_out += 1
    return num_left_out


def mark_removed_stale(memory: Memory, corpus: Corpus) -> list[str]:
    """Mark indexed documents that the corpus lacks or has changed as stale; returns their paths, sorted."""
    in_corpus = {(document.path, document.sha256) for document in corpus.documents}
    gone = {source.path for source in memory.index.sources if (source.path, source.sha256) not in in_corpus}
    for path in gone:
        memory.index.mark_stale(path)
    memory.drop_stale_matches()
    return sorted(gone)


def index_new_documents(memory: Memory, corpus: Corpus) -> list[str]:
    """Index the documents of the corpus that the index lacks; returns their paths, sorted."""
    begin = memory.size
    known = {(source.path, source.sha256) for source in memory.index.sources if not source.is_stale}
    new = [document for document in corpus.documents if (document.path, document.sha256) not in known]
    for document in new:
        memory.index_document(document, memory.tokenizer.encode(corpus.text(document)))
    memory.index.add_segment(memory.text, begin, memory.size)
    return sorted({document.path for document in new})
