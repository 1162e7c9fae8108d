"""The machines that take part in a run: how they meet, and the collectives between them (torch.distributed, gloo).

They meet in rounds. Node Zero's machine has a store (`TCPStore`) at the address that the user named, and nowhere else.
Whoever wants to take part enters itself there and waits. Node Zero's machine calls a round: it asks who is there, and
writes down those who answer, itself first; they are a group until one of them is lost, or somebody new has come. Then
all but the first enter themselves anew, and the next round is called.

Not torch's elastic rendezvous: what that keeps in the store it reads back with `pickle.loads`
(`torch/distributed/elastic/rendezvous/dynamic_rendezvous.py`), so whoever reaches the port could have this machine run
what he likes. It lets the machines agree on who decides, too, where here Node Zero does. The store asks nobody for a
password all the same, and what travels is not encrypted: it is for a network whose machines trust each other.
"""

import json
import re
import socket
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed
from torch import Tensor

from cllm.errors import UsageError

COLLECTIVE_TIMEOUT_SECONDS = (
    20.0  # for which a machine may be silent in a collective: gloo's own patience is half an hour
)
STORE_TIMEOUT_SECONDS = 5.0  # for the store to answer
ACK_TIMEOUT_SECONDS = 2.0  # for those who wait for a round to say that they are there
REENTRY_TIMEOUT_SECONDS = 3.0  # for those of the round before to enter themselves again
POLL_SECONDS = 0.02
CHUNK_BYTES = 16 << 20  # of a file, at a time
MAX_OBJECT_BYTES = 16 << 20  # that a machine says of itself
MAX_FOLLOWERS = 11  # machines: one position for each, of twelve
# Its classes have no types. Not by `init_process_group`: that has one group at a time, and an interface's name in the
# environment where a socket's address is to be said.
dist: Any = torch.distributed

P = ParamSpec("P")
R = TypeVar("R")


class GroupLost(Exception):
    """A machine of the group, or the way to it, is gone: another round is due."""


def raises_group_lost(call: Callable[P, R]) -> Callable[P, R]:
    """What torch.distributed raises when a connection is gone is `GroupLost`."""

    @wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except RuntimeError as error:
            raise GroupLost(error_message(error)) from None

    return wrapped


def error_message(error: Exception) -> str:
    """What an error of torch.distributed says to a person: without places in its source, on one line."""
    text = re.sub(r"^\[[^]]*\] *", "", str(error).strip().splitlines()[0])
    return text.partition(". ")[0][:120]


class Group:
    """Machines of one round, by rank; the first is Node Zero's. All of them make the same calls in the same order."""

    @raises_group_lost
    def __init__(self, store: Any, name: str, rank: int, addresses: Sequence[str]) -> None:
        """`addresses`: of all machines, where they reach each other."""
        options = dist.ProcessGroupGloo._Options()
        options._timeout = timedelta(seconds=COLLECTIVE_TIMEOUT_SECONDS)
        options._devices = [dist.ProcessGroupGloo.create_device(hostname=addresses[rank])]
        self.rank, self.size, self.addresses = rank, len(addresses), list(addresses)
        self._store, self._name = store, name
        self._gloo = dist.ProcessGroupGloo(dist.PrefixStore(name, store), rank, self.size, options)

    def subgroup(self, ranks: Sequence[int], tag: str) -> "Group":
        """The group of some of these machines, this one among them, who all ask for it; under a name `tag` its own."""
        name = f"{self._name}/{tag}/{'-'.join(map(str, ranks))}"
        return Group(self._store, name, list(ranks).index(self.rank), [self.addresses[rank] for rank in ranks])

    @raises_group_lost
    def broadcast(self, values: Tensor) -> None:
        """The first machine's `values` become everybody's, in place; contiguous.

        In pieces, as a machine's patience is for a piece: at the least 0.8 MB/s must come.
        """
        flat, size = values.view(-1), CHUNK_BYTES // values.element_size()
        for chunk in (flat[first : first + size] for first in range(0, len(flat), size)):
            self._gloo.broadcast([chunk], dist.BroadcastOptions()).wait()

    def broadcast_object(self, value: Any = None) -> Any:
        """The first machine's value, which must be JSON, to everybody."""
        text = json.dumps(value).encode() if self.rank == 0 else b""
        size = torch.tensor([len(text)])
        self.broadcast(size)
        data = torch.zeros(int(size), dtype=torch.uint8)
        if self.rank == 0:
            data[:] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        self.broadcast(data)
        return json.loads(data.numpy().tobytes())

    @raises_group_lost
    def all_gather_values(self, values: Sequence[float]) -> Tensor:
        """Everybody's values, as many of each: (size, len(values)) float64."""
        own = torch.tensor(values, dtype=torch.float64)
        found = torch.empty(self.size * len(own), dtype=torch.float64)
        self._gloo._allgather_base(found, own).wait()
        return found.view(self.size, -1)

    def all_gather_object(self, value: Any) -> list[Any]:
        """Everybody's value, which must be JSON, by rank."""
        text = json.dumps(value).encode()
        sizes = [int(size) for size in self.all_gather_values([len(text)])[:, 0]]
        if max(sizes) > MAX_OBJECT_BYTES:
            raise GroupLost(f"a machine has {max(sizes):,} bytes to say")
        own = torch.zeros(max(sizes), dtype=torch.uint8)
        own[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        rows = self.all_gather(own).view(self.size, -1)
        return [json.loads(row[:size].numpy().tobytes()) for row, size in zip(rows, sizes, strict=True)]

    @raises_group_lost
    def all_to_all(self, values: Tensor, input_split_sizes: Sequence[int], output_split_sizes: Sequence[int]) -> Tensor:
        """`values` to everybody, `input_split_sizes` of them in order of the ranks; what comes, `output_split_sizes`
        values from each.
        """
        found = torch.empty(sum(output_split_sizes), dtype=values.dtype)
        self._gloo.alltoall_base(found, values, list(output_split_sizes), list(input_split_sizes)).wait()
        return found

    @raises_group_lost
    def all_gather(self, own: Tensor) -> Tensor:
        """Everybody's values one after another, as many of each."""
        found = torch.empty(self.size * len(own), dtype=own.dtype)
        self._gloo._allgather_base(found, own).wait()
        return found


class RendezvousServer:
    """Where machines meet, on Node Zero's."""

    def __init__(self, address: str, port: int) -> None:
        """Listen there, and nowhere else; UsageError where that cannot be."""
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listening = socket.create_server((address, port), family=family)
        except OSError as error:
            raise UsageError(
                f"--listen {address}:{port} is not possible ({error.strerror or error}): give an address of this "
                "machine that the others reach, and a free port"
            ) from None
        self._address = address
        self._store = open_store(address, port, is_master=True, master_listen_fd=listening.detach())
        self._num_seen = 0  # entries before the last round

    @raises_group_lost
    def num_waiting(self) -> int:
        """How many have entered since the last round."""
        return int(self._store.add("entries", 0)) - self._num_seen

    @raises_group_lost
    def form_group(self, expected: int, max_followers: int = MAX_FOLLOWERS) -> Group:
        """The next round: with those who are there once so many have entered, or have had time to, the first
        `max_followers`.
        """
        wait_until(lambda: self.num_waiting() >= expected, REENTRY_TIMEOUT_SECONDS)
        number, entries = (
            self._store.add("rounds", 1),
            range(self._num_seen + 1, self._num_seen + self.num_waiting() + 1),
        )
        self._num_seen += len(entries)
        self._store.set(f"call/{number}", json.dumps([entries.start, entries.stop]))
        wait_until(lambda: all(self._store.check([f"here/{number}/{n}"]) for n in entries), ACK_TIMEOUT_SECONDS)
        present = [n for n in entries if self._store.check([f"here/{number}/{n}"])][:max_followers]
        addresses = [self._address, *(printable_address(self._store.get(f"here/{number}/{n}")) for n in present)]
        self._store.set(f"members/{number}", json.dumps({"entries": present, "addresses": addresses}))
        return Group(self._store, f"round/{number}", 0, addresses)


class RendezvousClient:
    """A machine that wants to take part; one object for each attempt."""

    def __init__(self, address: str, port: int) -> None:
        """Enter; GroupLost where there is nobody."""
        try:
            with socket.create_connection((address, port), STORE_TIMEOUT_SECONDS) as connection:
                self._address = connection.getsockname()[0]
            self._store = open_store(address, port, is_master=False)
            self._next_round = max(1, self._store.add("rounds", 0))  # the round whose call is listened for
            self._entry_id = self._store.add("entries", 1)
        except (OSError, RuntimeError) as error:
            raise GroupLost(error_message(error)) from None

    @raises_group_lost
    def wait_for_group(self) -> Group | None:
        """The group that this machine is of; None where no round took it for now."""
        number = self._next_round
        if not wait_until(lambda: self._store.check([f"call/{number}"]), ACK_TIMEOUT_SECONDS):
            return None
        self._next_round += 1
        first, end = json.loads(self._store.get(f"call/{number}"))
        if self._entry_id < first:  # its call was missed
            self._entry_id = self._store.add("entries", 1)
        if not first <= self._entry_id < end:
            return None
        self._store.set(f"here/{number}/{self._entry_id}", self._address)
        members = json.loads(self._store.get(f"members/{number}"))  # it waits until they are written
        if self._entry_id not in members["entries"]:  # not heard in time, or one too many
            self._entry_id = self._store.add("entries", 1)
            return None
        return Group(self._store, f"round/{number}", 1 + members["entries"].index(self._entry_id), members["addresses"])


def open_store(address: str, port: int, **options: Any) -> Any:
    """The store at an address, or a connection to it."""
    return dist.TCPStore(
        address, port, wait_for_workers=False, timeout=timedelta(seconds=STORE_TIMEOUT_SECONDS), **options
    )


def printable_address(address: bytes) -> str:
    """What a machine says that its address is, without what would command a terminal."""
    return "".join(c for c in address.decode("ascii", "replace")[:64] if c.isprintable())


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition holds, now or before so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
