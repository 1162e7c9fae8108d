"""A private language model of your own repository, trained from scratch on an ordinary CPU.

The first statements are a guard. `python -m cllm` puts the current folder, that is the user's repository, before the
standard library on `sys.path`, so that every module of Python that is imported later could be one of the repository's
(`typing.py`, `json.py`). Only `sys`, which is built in, is imported before the guard, and it acts only if this package
is what `-m` runs: `import cllm` in a program leaves the program's path as it is.
"""

import sys


def _is_run_as_module() -> bool:
    """Whether Python was started with `-m cllm` or `-mcllm`, and is importing it: until then `sys.argv[0]` is "-m"."""
    arguments = zip(sys.orig_argv, [*sys.orig_argv[1:], ""], strict=True)
    names = [option.partition("m")[2] or value for option, value in arguments if option.startswith("-")]
    return sys.argv[:1] == ["-m"] and any(name.split(".")[0] == "cllm" for name in names)


if _is_run_as_module() and not sys.flags.safe_path:
    del sys.path[0]

__version__ = "0.1.0"
