"""A fork server that is itself a fork of its owner: for a control node that is a worker and has workers of its own.

The imported modules stay shared in memory; nothing is imported again.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from importlib import import_module

from cllm.spheres.fork_server import ForkServer
from cllm.spheres.fork_server_main import freeze, serve_requests
from cllm.spheres.worker import die_with_parent


class ForkedProcess:
    """A forked child process, with the part of the `subprocess.Popen` interface that a fork server uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._exit_code: int | None = None

    def kill(self) -> None:
        if self._exit_code is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        if self._exit_code is None:
            _, status = os.waitpid(self.pid, 0)
            self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code


class NestedForkServer(ForkServer):
    """A fork server forked from this process; construct it while the process has a single thread.

    A fork has only the thread that made it: a lock that another thread holds at that moment stays locked for ever.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        assert threading.active_count() == 1, "forked from a process with several threads"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        if (pid := os.fork()) == 0:
            ours.close()
            run_fork_server(parent, modules, theirs)
        theirs.close()
        self._attach(ForkedProcess(pid), ours)


def run_fork_server(parent: int, modules: Sequence[str], calls: socket.socket) -> None:
    """Serve requests on `calls` in this process until they close, and exit."""
    code = 1
    try:
        die_with_parent(parent)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the owner answers its calls on its standard output
        freeze()
        serve_requests({name: import_module(name) for name in modules}, calls)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)
