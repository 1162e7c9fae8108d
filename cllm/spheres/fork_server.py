"""Fork server: one process imports the workers' modules, and each worker is a fork of it (`fork_server_main.py`).

Importing PyTorch takes 2 s and 160 MB per process. A fork server and two workers take 400 MB, two workers that import
it themselves 540 MB; and a further worker needs no import.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from cllm.errors import TrainingError

FIRST_EXTRA_FD = 3  # number of a worker's first extra descriptor, after stdin, stdout and stderr
MAX_MESSAGE_BYTES = 1 << 16
DEADLINE_SECONDS = 120.0  # for a reply: the first one waits for the imports


class WorkerLost(TrainingError):
    """A worker process ended, hung, or answered with an error."""


class Process(Protocol):
    """A child process, as in `subprocess`."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


class ForkServer:
    """The fork server process; a context manager whose exit kills it and all remaining workers."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process without waiting for it. `modules`: modules that workers can run, each with a `main`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cllm.spheres.fork_server_main", *modules],
            stdin=theirs.fileno(),
            env=dict(environment),
            process_group=0,  # a terminal's Ctrl-C reaches only the control node
        )
        theirs.close()
        self._attach(process, ours)

    def _attach(self, process: "Process", calls: socket.socket) -> None:
        """Use `process`, which serves requests on the other end of `calls`."""
        self.process, self._socket = process, calls
        self._socket.settimeout(DEADLINE_SECONDS)
        self._starting: deque[ChildProcess] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()  # the kernel kills its children (PR_SET_PDEATHSIG)
        self.process.wait()
        self._socket.close()

    def spawn(self, module: str, extra_fds: Sequence[int] = ()) -> "ChildProcess":
        """Start a worker that runs `module`, without waiting for it.

        The worker has the descriptors `extra_fds` under the numbers `FIRST_EXTRA_FD`, `FIRST_EXTRA_FD` + 1, ...
        """
        their_input, our_input = os.pipe()
        our_output, their_output = os.pipe()
        child = ChildProcess(self, our_input, our_output)
        try:
            self._send({"module": module}, [their_input, their_output, *extra_fds])
        except BaseException:
            child.close()
            raise
        finally:
            os.close(their_input)
            os.close(their_output)
        self._starting.append(child)
        return child

    def run(self, module: str, function: str, timeout_seconds: float) -> None:
        """Run a function of a module in the fork server process, for at most `timeout_seconds`.

        Workers that are forked later share the memory that it leaves. Raises WorkerLost if the function fails.
        """
        self._send({"module": module, "run": function})
        self._socket.settimeout(timeout_seconds)
        reply = self._receive_reply()
        self._socket.settimeout(DEADLINE_SECONDS)
        if "error" in reply:
            raise WorkerLost(reply["error"])

    def pid_of(self, child: "ChildProcess") -> int:
        """The process ID of a worker, after waiting for its start; WorkerLost if it cannot be started."""
        while child in self._starting:
            self._receive_spawn_reply()
        if child.started_pid is None:
            raise WorkerLost(child.spawn_error)
        return child.started_pid

    def is_started(self, child: "ChildProcess") -> bool:
        """Whether a worker has been started; does not wait."""
        with contextlib.suppress(WorkerLost):  # without a fork server no worker starts any more
            while child in self._starting and select.select([self._socket], [], [], 0)[0]:
                self._receive_spawn_reply()
        return child.started_pid is not None

    def exit_code(self, child: "ChildProcess") -> int:
        """The exit code of a worker that has ended or is about to, as `Popen.returncode`."""
        try:
            self._send({"wait": self.pid_of(child)})
            return int(self._receive_reply()["code"])
        except WorkerLost:
            return -signal.SIGKILL  # sent by the kernel when the fork server ended

    def _send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._socket, [json.dumps(message).encode()], list(descriptors))
        except (BrokenPipeError, ConnectionResetError):
            raise self._exit_error() from None

    def _receive_reply(self) -> dict[str, Any]:
        """The reply to the last message sent."""
        while self._starting:
            self._receive_spawn_reply()
        return self._receive()

    def _receive_spawn_reply(self) -> None:
        reply = self._receive()  # if this fails, the child stays in `_starting`
        child = self._starting.popleft()
        child.started_pid, child.spawn_error = reply.get("pid"), reply.get("error", "")

    def _receive(self) -> dict[str, Any]:
        try:
            data = self._socket.recv(MAX_MESSAGE_BYTES)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            self.process.kill()
            data = b""
        if not data:
            raise self._exit_error()
        return json.loads(data)  # type: ignore[no-any-return]

    def _exit_error(self) -> WorkerLost:
        return WorkerLost(f"the fork server (process {self.process.pid}) {describe_exit(self.process.wait())}")


def describe_exit(code: int) -> str:
    """A sentence fragment that describes an exit code: "was killed by signal 9", "ended with exit code 1"."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


class ChildProcess:
    """A worker process and its two pipes: `calls` to it, `answers` from it."""

    def __init__(self, fork_server: ForkServer, calls: int, answers: int) -> None:
        self._fork_server = fork_server
        self.calls, self.answers = os.fdopen(calls, "wb"), os.fdopen(answers, "rb", buffering=0)
        self.started_pid: int | None = None  # None until it has been started
        self.spawn_error = ""  # why it could not be started
        self._exit_code: int | None = None

    @property
    def pid(self) -> int:
        return self._fork_server.pid_of(self)

    def kill(self) -> None:
        if self._exit_code is None:
            os.kill(self.pid, signal.SIGKILL)

    @property
    def is_started(self) -> bool:
        """Whether the process has been started; does not wait."""
        return self._fork_server.is_started(self)

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """The exit code, as `Popen.returncode`; None if the process still runs after `timeout_seconds`."""
        if self._exit_code is None and self._has_closed_pipe(timeout_seconds):
            self._exit_code = self._fork_server.exit_code(self)
        return self._exit_code

    def close(self) -> None:
        """Close the pipes; a worker ends when its input closes."""
        with contextlib.suppress(BrokenPipeError):
            self.calls.close()
        self.answers.close()

    def _has_closed_pipe(self, timeout_seconds: float | None) -> bool:
        """Whether the process has closed `answers`, as it does when it ends; unread answers are discarded."""
        while select.select([self.answers], [], [], timeout_seconds)[0]:
            if not self.answers.read(MAX_MESSAGE_BYTES):
                return True
        return False
