"""Turns a source tree into clean, deduplicated, split documents on disk.

    walk (names, .gitignore) -> text (bytes to UTF-8) -> filters -> redactions -> duplicates -> split -> store

`ingest` runs the pipeline and returns a `Corpus`; `export_split` writes its documents as files. Nothing in the
repository is executed or written to.
"""

from cllm.corpus.export import export_split
from cllm.corpus.ingest import CorpusConfig, corpus_config, ingest
from cllm.corpus.languages import kind_of, language_of
from cllm.corpus.redact import redact
from cllm.corpus.split import is_held_out
from cllm.corpus.store import Corpus, Document

__all__ = [
    "Corpus",
    "CorpusConfig",
    "corpus_config",
    "Document",
    "export_split",
    "ingest",
    "is_held_out",
    "kind_of",
    "language_of",
    "redact",
]
