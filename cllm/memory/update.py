"""Update a memory to the repository's present files without a rebuild.

Removed content is excluded from the index and from matches; the mixer, which was trained on it, forgets it only when
the memory is rebuilt. New content is available to matches and citations at once, and is then trained on.
"""

from pathlib import Path
from typing import Any

from cllm.corpus import Corpus
from cllm.memory.memory import MAX_SLOTS_PER_BYTE, Memory
from cllm.memory.mixer.journal import new_journal
from cllm.memory.store import save_update


def update_memory(memory: Memory, directory: Path, corpus: Corpus, update: Path) -> dict[str, Any]:
    """Write to `update` the difference between a corpus and a memory, which must be as it was saved in `directory`.

    Returns the lists of paths `new` and `stale`. The update is saved twice: indexed, then trained on.
    """
    begin, num_old_sources = memory.size, len(memory.index.sources)
    gone = mark_removed_stale(memory, corpus)
    new = index_new_documents(memory, corpus)
    metadata = {"new": new, "stale": gone}
    save_update(memory, begin, update, directory, is_trained=False, **metadata)
    memory.journal = new_journal(memory.state.slots, MAX_SLOTS_PER_BYTE * (memory.size - begin + 1))
    for source in memory.index.sources[num_old_sources:]:
        memory.train_on_indexed(source)
    save_update(memory, begin, update, directory, is_trained=True, **metadata)
    return metadata


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
        memory.index_document(document, corpus.text(document))
    memory.index.add_segment(memory.text, begin, memory.size)
    return sorted({document.path for document in new})
