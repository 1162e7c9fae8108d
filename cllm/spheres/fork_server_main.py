"""The process that workers are born from: `python -m cllm.spheres.fork_server_main MODULE ...`, answering its
`ForkServer`.

It imports the modules, and then each worker is a fork of it, in which the module's `main` runs. What was there before
the fork is one memory for all of them until somebody writes to it.

A message is JSON, sometimes with descriptors; each has one reply, in order:

    {"module": name}, with the worker's input, output and more    {"pid": number} or {"error": why there is none}
    {"wait": pid}                                                  {"code": as Popen.returncode}
    {"module": name, "run": name of a function of its}             {} or {"error": what went wrong}
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
    """Answer messages until nobody is there to send any."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(calls, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
        if not data:
            return
        calls.send(json.dumps(handle_message(json.loads(data), descriptors, modules, calls)).encode())


def freeze() -> None:
    """Keep what is in memory as it is: workers share it."""
    sys.stdout.flush()  # or every worker would say again what an import said
    gc.collect()
    gc.freeze()  # a collection in a worker would write to all of it


def handle_message(
    message: dict[str, Any], descriptors: list[int], modules: dict[str, ModuleType], calls: socket.socket
) -> dict[str, Any]:
    """Do what a message asks for."""
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
    """Have a function of a module run here."""
    try:
        getattr(module, function)()
    except Exception as error:
        return {"error": f"{module.__name__}.{function} failed: {type(error).__name__}: {error}"}
    freeze()
    return {}


def run_worker(module: ModuleType, descriptors: list[int], parent: int) -> None:
    """Be a worker of the process `parent`, and end."""
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
