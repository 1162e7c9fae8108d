"""Where workers come from: one process imports what all of them need, and each is a fork of it (`fork_server_main.py`).

PyTorch takes a process 2 s to import and 160 MB of its own. Forked, two workers and the process they come from take
400 MB where two that import it themselves take 540; and the next worker is there at once.
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

FIRST_EXTRA_FD = 3  # the number in a worker of the first descriptor beyond its input, output and errors
MAX_MESSAGE_BYTES = 1 << 16  # of a message
DEADLINE_SECONDS = 120.0  # for an answer: the first waits for the imports


class WorkerLost(TrainingError):
    """A worker process ended, hung, or answered with a failure."""


class Process(Protocol):
    """A child process, as in `subprocess`."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


class ForkServer:
    """The process; a context manager. At its end all workers that are left are killed."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; it is not waited for. `modules`: what workers may be, each with a `main`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cllm.spheres.fork_server_main", *modules],
            stdin=theirs.fileno(),
            env=dict(environment),
            process_group=0,  # a terminal's Ctrl-C is for the control node alone
        )
        theirs.close()
        self._attach(process, ours)

    def _attach(self, process: "Process", calls: socket.socket) -> None:
        """It is there, and listens to these calls."""
        self.process, self._socket = process, calls
        self._socket.settimeout(DEADLINE_SECONDS)
        self._starting: deque[ChildProcess] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()  # and the kernel, its children
        self.process.wait()
        self._socket.close()

    def spawn(self, module: str, extra_fds: Sequence[int] = ()) -> "ChildProcess":
        """A worker that runs `module`; it has the descriptors `extra_fds` as `FIRST_EXTRA_FD` and on. It is not waited
        for.
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
        """Have a function of a module run in the process itself, for so many seconds at most.

        What that leaves in memory is shared by the workers that are born from then on.
        """
        self._send({"module": module, "run": function})
        self._socket.settimeout(timeout_seconds)
        reply = self._receive_reply()
        self._socket.settimeout(DEADLINE_SECONDS)
        if "error" in reply:
            raise WorkerLost(reply["error"])

    def pid_of(self, child: "ChildProcess") -> int:
        """The number of a worker's process, once it is born."""
        while child in self._starting:
            self._receive_spawn_reply()
        if child.started_pid is None:
            raise WorkerLost(child.spawn_error)
        return child.started_pid

    def is_started(self, child: "ChildProcess") -> bool:
        """Whether a worker is born, without waiting for it."""
        with contextlib.suppress(WorkerLost):  # where there is no nursery, nobody is born any more
            while child in self._starting and select.select([self._socket], [], [], 0)[0]:
                self._receive_spawn_reply()
        return child.started_pid is not None

    def exit_code(self, child: "ChildProcess") -> int:
        """That of a worker that has ended or is about to, as `Popen.returncode`."""
        try:
            self._send({"wait": self.pid_of(child)})
            return int(self._receive_reply()["code"])
        except WorkerLost:
            return -signal.SIGKILL  # the kernel's, when this process ended

    def _send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._socket, [json.dumps(message).encode()], list(descriptors))
        except (BrokenPipeError, ConnectionResetError):
            raise self._exit_error() from None

    def _receive_reply(self) -> dict[str, Any]:
        """To the last message that was sent."""
        while self._starting:
            self._receive_spawn_reply()
        return self._receive()

    def _receive_spawn_reply(self) -> None:
        reply = self._receive()  # where there is none, the child stays unborn
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
        return WorkerLost(
            f"the process that workers come from ({self.process.pid}) {describe_exit(self.process.wait())}"
        )


def describe_exit(code: int) -> str:
    """How a process ended, in words."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


class ChildProcess:
    """A worker process, and the pipes to it."""

    def __init__(self, fork_server: ForkServer, calls: int, answers: int) -> None:
        self._fork_server = fork_server
        self.calls, self.answers = os.fdopen(calls, "wb"), os.fdopen(answers, "rb", buffering=0)
        self.started_pid: int | None = None  # of the process, once it is born
        self.spawn_error = ""  # why it cannot be
        self._exit_code: int | None = None

    @property
    def pid(self) -> int:
        return self._fork_server.pid_of(self)

    def kill(self) -> None:
        if self._exit_code is None:
            os.kill(self.pid, signal.SIGKILL)

    @property
    def is_started(self) -> bool:
        """Whether it is there by now."""
        return self._fork_server.is_started(self)

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """The exit code, as `Popen.returncode`, after at most `timeout_seconds` seconds; None: it goes on."""
        if self._exit_code is None and self._has_closed_pipe(timeout_seconds):
            self._exit_code = self._fork_server.exit_code(self)
        return self._exit_code

    def close(self) -> None:
        """Hang up, which a worker that listens takes as its end."""
        with contextlib.suppress(BrokenPipeError):
            self.calls.close()
        self.answers.close()

    def _has_closed_pipe(self, timeout_seconds: float | None) -> bool:
        """Whether it has closed its end of the answers, as it does when it ends; answers that are left are lost."""
        while select.select([self.answers], [], [], timeout_seconds)[0]:
            if not self.answers.read(MAX_MESSAGE_BYTES):
                return True
        return False
