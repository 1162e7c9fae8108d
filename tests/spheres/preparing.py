"""What is run in the process that workers come from; at the second time it fails."""

import os

import answering_worker


def prepare() -> None:
    if answering_worker.PREPARED:
        raise RuntimeError("it is there")
    answering_worker.PREPARED.append(os.getpid())
