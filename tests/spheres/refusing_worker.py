"""A worker that no process can be had for."""

import os


def refuse() -> int:
    raise OSError("no more processes")


os.fork = refuse
