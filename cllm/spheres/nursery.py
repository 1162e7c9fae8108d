"""Where workers come from: one process imports what all of them need, and each is a fork of it (`birth.py`).

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

FIRST_MORE = 3  # the number in a worker of the first descriptor beyond its input, output and errors
MOST_BYTES = 1 << 16  # of a message
DEADLINE_SECONDS = 120.0  # for an answer: the first waits for the imports


class WorkerLost(TrainingError):
    """A worker process ended, hung, or answered with a failure."""


class Process(Protocol):
    """A child process, as in `subprocess`."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


class Nursery:
    """The process; a context manager. At its end all workers that are left are killed."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; it is not waited for. `modules`: what workers may be, each with a `main`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cllm.spheres.birth", *modules],
            stdin=theirs.fileno(),
            env=dict(environment),
            process_group=0,  # a terminal's Ctrl-C is for the control node alone
        )
        theirs.close()
        self._begin(process, ours)

    def _begin(self, process: "Process", calls: socket.socket) -> None:
        """It is there, and listens to these calls."""
        self.process, self._socket = process, calls
        self._socket.settimeout(DEADLINE_SECONDS)
        self._unborn: deque[Child] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()  # and the kernel, its children
        self.process.wait()
        self._socket.close()

    def bear(self, module: str, more: Sequence[int] = ()) -> "Child":
        """A worker that runs `module`; it has the descriptors `more` as `FIRST_MORE` and on. It is not waited for."""
        their_input, our_input = os.pipe()
        our_output, their_output = os.pipe()
        child = Child(self, our_input, our_output)
        try:
            self._send({"module": module}, [their_input, their_output, *more])
        except BaseException:
            child.close()
            raise
        finally:
            os.close(their_input)
            os.close(their_output)
        self._unborn.append(child)
        return child

    def run(self, module: str, function: str, patience: float) -> None:
        """Have a function of a module run in the process itself, for so many seconds at most.

        What that leaves in memory is shared by the workers that are born from then on.
        """
        self._send({"module": module, "run": function})
        self._socket.settimeout(patience)
        reply = self._reply()
        self._socket.settimeout(DEADLINE_SECONDS)
        if "error" in reply:
            raise WorkerLost(reply["error"])

    def pid_of(self, child: "Child") -> int:
        """The number of a worker's process, once it is born."""
        while child in self._unborn:
            self._reply_to_birth()
        if child.number is None:
            raise WorkerLost(child.refused)
        return child.number

    def has_born(self, child: "Child") -> bool:
        """Whether a worker is born, without waiting for it."""
        with contextlib.suppress(WorkerLost):  # where there is no nursery, nobody is born any more
            while child in self._unborn and select.select([self._socket], [], [], 0)[0]:
                self._reply_to_birth()
        return child.number is not None

    def exit_code(self, child: "Child") -> int:
        """That of a worker that has ended or is about to, as `Popen.returncode`."""
        try:
            self._send({"wait": self.pid_of(child)})
            return int(self._reply()["code"])
        except WorkerLost:
            return -signal.SIGKILL  # the kernel's, when this process ended

    def _send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._socket, [json.dumps(message).encode()], list(descriptors))
        except (BrokenPipeError, ConnectionResetError):
            raise self._lost() from None

    def _reply(self) -> dict[str, Any]:
        """To the last message that was sent."""
        while self._unborn:
            self._reply_to_birth()
        return self._received()

    def _reply_to_birth(self) -> None:
        reply = self._received()  # where there is none, the child stays unborn
        child = self._unborn.popleft()
        child.number, child.refused = reply.get("pid"), reply.get("error", "")

    def _received(self) -> dict[str, Any]:
        try:
            data = self._socket.recv(MOST_BYTES)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            self.process.kill()
            data = b""
        if not data:
            raise self._lost()
        return json.loads(data)  # type: ignore[no-any-return]

    def _lost(self) -> WorkerLost:
        return WorkerLost(f"the process that workers come from ({self.process.pid}) {ending(self.process.wait())}")


def ending(code: int) -> str:
    """How a process ended, in words."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


class Child:
    """A worker process, and the pipes to it."""

    def __init__(self, nursery: Nursery, calls: int, answers: int) -> None:
        self._nursery = nursery
        self.calls, self.answers = os.fdopen(calls, "wb"), os.fdopen(answers, "rb", buffering=0)
        self.number: int | None = None  # of the process, once it is born
        self.refused = ""  # why it cannot be
        self._code: int | None = None

    @property
    def pid(self) -> int:
        return self._nursery.pid_of(self)

    def kill(self) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)

    @property
    def is_born(self) -> bool:
        """Whether it is there by now."""
        return self._nursery.has_born(self)

    def wait(self, patience: float | None = None) -> int | None:
        """The exit code, as `Popen.returncode`, after at most `patience` seconds; None: it goes on."""
        if self._code is None and self._has_hung_up(patience):
            self._code = self._nursery.exit_code(self)
        return self._code

    def close(self) -> None:
        """Hang up, which a worker that listens takes as its end."""
        with contextlib.suppress(BrokenPipeError):
            self.calls.close()
        self.answers.close()

    def _has_hung_up(self, patience: float | None) -> bool:
        """Whether it has closed its end of the answers, as it does when it ends; answers that are left are lost."""
        while select.select([self.answers], [], [], patience)[0]:
            if not self.answers.read(MOST_BYTES):
                return True
        return False
