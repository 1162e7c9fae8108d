"""Bringing a memory up to date with the repository, without learning anew.

What is gone is not looked up any more from here on; the mixer has learned from it and forgets it when it is made again.
What is new is known at once, to matches and for citing, and learned after that.
"""

from pathlib import Path
from typing import Any

from cllm.corpus import Corpus
from cllm.memory.journal import new_journal
from cllm.memory.memory import MOST_LINES_PER_BYTE, Memory
from cllm.memory.store import save_update


def update_memory(memory: Memory, directory: Path, corpus: Corpus, update: Path) -> dict[str, Any]:
    """Save what a corpus has that a memory has not, which is as it was saved in `directory`.

    Which paths are `new` to it, or `gone`.
    """
    begin, base = memory.size, len(memory.index.sources)
    gone = forget_gone(memory, corpus)
    new = know_new(memory, corpus)
    facts = {"new": new, "gone": gone}
    save_update(memory, begin, update, directory, learned=False, **facts)
    memory.journal = new_journal(memory.learned.lines, MOST_LINES_PER_BYTE * (memory.size - begin + 1))
    for source in memory.index.sources[base:]:
        memory.study(source)
    save_update(memory, begin, update, directory, learned=True, **facts)
    return facts


def forget_gone(memory: Memory, corpus: Corpus) -> list[str]:
    """Have the index leave out documents that are not in the corpus as they were; their paths."""
    there = {(document.path, document.sha256) for document in corpus.documents}
    gone = {source.path for source in memory.index.sources if (source.path, source.sha256) not in there}
    for path in gone:
        memory.index.forget(path)
    memory.hide_gone()
    return sorted(gone)


def know_new(memory: Memory, corpus: Corpus) -> list[str]:
    """Know all documents of the corpus that the index has not; their paths."""
    begin = memory.size
    known = {(source.path, source.sha256) for source in memory.index.sources if not source.gone}
    new = [document for document in corpus.documents if (document.path, document.sha256) not in known]
    for document in new:
        memory.know(document, corpus.text(document))
    memory.index.sort(memory.text, begin, memory.size)
    return sorted({document.path for document in new})
