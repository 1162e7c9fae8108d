"""The main loop of a worker process: answer the control node's calls until standard input closes.

A call is one line of JSON on standard input, {"call": name, "number": n, "tasks": [{...}, ...]}: the named handler runs
with the arguments of each task. The answer is one line on standard output: {"number": n, "results": [...]},
{"number": n, "error": text} or {"number": n, "bug": traceback}. Arrays are not sent here; they are in shared memory.

A worker never outlives the process that forked it: the kernel kills it when that process dies, and it exits when its
input closes. It ignores Ctrl-C; the control node handles that and saves first.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from cllm.errors import CllmError

Handler = Callable[..., Any]
PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGKILL when the process `parent` ends; end now if it already has."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer calls with `handlers` until standard input closes. Output of `print` goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    calls = os.fdopen(os.dup(sys.stdin.fileno()), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in calls:
        message = json.loads(line)
        reply = {"number": message["number"], **execute(handlers[message["call"]], message["tasks"])}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def execute(handler: Handler, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """The reply to one call: {"results": ...}, {"error": text} for a CllmError, {"bug": traceback} for another."""
    try:
        return {"results": [handler(**task) for task in tasks]}
    except CllmError as error:
        return {"error": str(error)}
    except Exception:
        return {"bug": traceback.format_exc()}
