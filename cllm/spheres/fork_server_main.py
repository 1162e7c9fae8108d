"""The fork server process: `python -m cllm.spheres.fork_server_main MODULE ...`, started by a `ForkServer`.

It imports the modules. Each worker is a fork of it that runs the module's `main`. Memory from before the fork is
shared copy-on-write.

A request is JSON, some with file descriptors; each has one reply, in order:

    {"module": name}, with the worker's stdin, stdout and extra_fds    {"pid": number} or {"error": text}
    {"wait": pid}                                                       {"code": as Popen.returncode}
    {"module": name, "run": name of a function}                         {} or {"error": text}
"""

import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from types import ModuleType
from typing import Any

from cllm.spheres.fork_server import FIRST_EXTRA_FD, MAX_MESSAGE_BYTES
from cllm.spheres.worker import die_with_parent

MAX_DESCRIPTORS = 16


def main() -> None:
    die_with_parent(os.getppid())
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    calls = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    modules = {name: importlib.import_module(name) for name in sys.argv[1:]}
    freeze()
    serve_requests(modules, calls)


def serve_requests(modules: dict[str, ModuleType], calls: socket.socket) -> None:
    """Answer requests until the other end of `calls` closes."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(calls, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
        if not data:
            return
        calls.send(json.dumps(handle_message(json.loads(data), descriptors, modules, calls)).encode())


def freeze() -> None:
    """Exclude all present objects from garbage collection, so that their memory stays shared with the workers."""
    sys.stdout.flush()  # otherwise every worker would print the buffered output of the imports again
    gc.collect()
    gc.freeze()  # a collection in a worker would write to every object's header


def handle_message(
    message: dict[str, Any], descriptors: list[int], modules: dict[str, ModuleType], calls: socket.socket
) -> dict[str, Any]:
    """Carry out one request and return its reply."""
    if "wait" in message:
        _, status = os.waitpid(message["wait"], 0)
        return {"code": os.waitstatus_to_exitcode(status)}
    module = modules[message["module"]]
    if "run" in message:
        return run(module, message["run"])
    parent = os.getpid()
    try:
        if (pid := os.fork()) == 0:
            calls.close()
            run_worker(module, descriptors, parent)
    except OSError as error:
        return {"error": f"a worker process cannot be started: {error}"}
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return {"pid": pid}


def run(module: ModuleType, function: str) -> dict[str, Any]:
    """Run a function of a module in this process and return the reply: {} or {"error": text}."""
    try:
        getattr(module, function)()
    except Exception as error:
        return {"error": f"{module.__name__}.{function} failed: {type(error).__name__}: {error}"}
    freeze()
    return {}


def run_worker(module: ModuleType, descriptors: list[int], parent: int) -> None:
    """Run a worker of the process `parent`, and exit."""
    code = 1
    try:
        die_with_parent(parent)
        target_fds = [0, 1, *range(FIRST_EXTRA_FD, FIRST_EXTRA_FD + len(descriptors) - 2)]
        for descriptor, target_fd in zip(descriptors, target_fds, strict=True):
            os.dup2(
                descriptor, target_fd
            )  # those received are 3 and more, ascending: none is overwritten before its turn
        for descriptor in set(descriptors) - set(target_fds):
            os.close(descriptor)
        module.main()
        sys.stdout.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
