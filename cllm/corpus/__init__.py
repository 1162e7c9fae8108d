"""Turns a source tree into clean, deduplicated, split documents on disk.

    walk (names, .gitignore) -> text (bytes to UTF-8) -> filters -> redactions -> duplicates -> split -> store

`ingest.ingest` runs the pipeline and returns a `Corpus`; `export.export_split` writes its documents as files. Nothing
in the repository is executed or written to. Those who only read a corpus do not import the pipeline, whose rules take
0.1 s to compile.
"""

from cllm.corpus.store import Corpus, Document

__all__ = ["Corpus", "Document"]
