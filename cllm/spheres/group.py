"""The machines of a run: their rendezvous, and the collectives between them (torch.distributed, gloo).

Groups are formed in rounds. The leader (Node Zero's machine) has a store (`TCPStore`) at the address that the user
gave, and listens nowhere else. A follower adds an entry to the store and waits. The leader announces a round, collects
acknowledgements, and writes the list of members, itself first. The group lasts until a member is lost or a new entry is
there; then all followers enter again, and the leader announces the next round.

This is not torch's elastic rendezvous, which decodes what it finds in the store with `pickle.loads`
(`torch/distributed/elastic/rendezvous/dynamic_rendezvous.py`): any host that reaches the port could run code on this
machine. It also elects a leader, where here Node Zero is fixed. The store still has no password and the traffic is not
encrypted: use it in a network whose machines trust each other.
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

COLLECTIVE_TIMEOUT_SECONDS = 20.0  # gloo's default is 30 minutes
STORE_TIMEOUT_SECONDS = 5.0
ACK_TIMEOUT_SECONDS = 2.0  # for the waiting followers to acknowledge a round
REENTRY_TIMEOUT_SECONDS = 3.0  # for the members of the previous round to enter again
POLL_SECONDS = 0.02
CHUNK_BYTES = 16 << 20  # of a file or tensor, sent at a time
MAX_OBJECT_BYTES = 16 << 20  # of one machine's JSON in `all_gather_object`
MAX_FOLLOWERS = 11  # with the leader 12 machines: one position, of 12 micro-batches, each
# `Any`, as its classes have no type annotations. `init_process_group` is not used: it supports one default group, and
# takes a network interface's name from the environment instead of an address.
dist: Any = torch.distributed

P = ParamSpec("P")
R = TypeVar("R")


class GroupLost(Exception):
    """The connection to a member of the group is lost: another round is needed."""


def raises_group_lost(call: Callable[P, R]) -> Callable[P, R]:
    """Decorator: turn the RuntimeError that torch.distributed raises on a lost connection into `GroupLost`."""

    @wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except RuntimeError as error:
            raise GroupLost(error_message(error)) from None

    return wrapped


def error_message(error: Exception) -> str:
    """The message of a torch.distributed error on one line of at most 120 characters, without source locations."""
    text = re.sub(r"^\[[^]]*\] *", "", str(error).strip().splitlines()[0])
    return text.partition(". ")[0][:120]


class Group:
    """The machines of one round, by rank; rank 0 is the leader. All members make the same calls in the same order.

    Every method raises GroupLost if the connection to a member is lost.
    """

    @raises_group_lost
    def __init__(self, store: Any, name: str, rank: int, addresses: Sequence[str]) -> None:
        """`addresses`: of all machines, by rank."""
        options = dist.ProcessGroupGloo._Options()
        options._timeout = timedelta(seconds=COLLECTIVE_TIMEOUT_SECONDS)
        options._devices = [dist.ProcessGroupGloo.create_device(hostname=addresses[rank])]
        self.rank, self.size, self.addresses = rank, len(addresses), list(addresses)
        self._store, self._name = store, name
        self._gloo = dist.ProcessGroupGloo(dist.PrefixStore(name, store), rank, self.size, options)

    def subgroup(self, ranks: Sequence[int], tag: str) -> "Group":
        """A group of some of these machines, this one included. All of them call it; `tag` makes its name unique."""
        name = f"{self._name}/{tag}/{'-'.join(map(str, ranks))}"
        return Group(self._store, name, list(ranks).index(self.rank), [self.addresses[rank] for rank in ranks])

    @raises_group_lost
    def broadcast(self, values: Tensor) -> None:
        """Copy `values` (contiguous, any shape) from rank 0 to all ranks, in place.

        They are sent in chunks of 16 MiB, as the timeout of 20 s is per collective: the link must carry 0.8 MB/s.
        """
        flat, size = values.view(-1), CHUNK_BYTES // values.element_size()
        for chunk in (flat[first : first + size] for first in range(0, len(flat), size)):
            self._gloo.broadcast([chunk], dist.BroadcastOptions()).wait()

    def broadcast_object(self, value: Any = None) -> Any:
        """The value of rank 0, sent to all ranks as JSON."""
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
        """The values of all ranks, the same number from each: (size, V) float64."""
        own = torch.tensor(values, dtype=torch.float64)
        found = torch.empty(self.size * len(own), dtype=torch.float64)
        self._gloo._allgather_base(found, own).wait()
        return found.view(self.size, -1)

    def all_gather_object(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank, sent as JSON; GroupLost if one is longer than 16 MiB."""
        text = json.dumps(value).encode()
        sizes = [int(size) for size in self.all_gather_values([len(text)])[:, 0]]
        if max(sizes) > MAX_OBJECT_BYTES:
            raise GroupLost(f"a machine announced a message of {max(sizes):,} bytes, more than the limit")
        own = torch.zeros(max(sizes), dtype=torch.uint8)
        own[: len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        rows = self.all_gather(own).view(self.size, -1)
        return [json.loads(row[:size].numpy().tobytes()) for row, size in zip(rows, sizes, strict=True)]

    @raises_group_lost
    def all_to_all(self, values: Tensor, input_split_sizes: Sequence[int], output_split_sizes: Sequence[int]) -> Tensor:
        """Send slices of `values` (N,), `input_split_sizes[rank]` elements to each rank, and receive theirs.

        Returns (M,), `output_split_sizes[rank]` elements from each rank, in order of the ranks.
        """
        found = torch.empty(sum(output_split_sizes), dtype=values.dtype)
        self._gloo.alltoall_base(found, values, list(output_split_sizes), list(input_split_sizes)).wait()
        return found

    @raises_group_lost
    def all_gather(self, own: Tensor) -> Tensor:
        """The values (N,) of all ranks, concatenated: (size * N,)."""
        found = torch.empty(self.size * len(own), dtype=own.dtype)
        self._gloo._allgather_base(found, own).wait()
        return found


class RendezvousServer:
    """The leader's end of the rendezvous: the store, and the rounds."""

    def __init__(self, address: str, port: int) -> None:
        """Listen at this address only; UsageError if that is not possible."""
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listening = socket.create_server((address, port), family=family)
        except OSError as error:
            raise UsageError(
                f"--listen {address}:{port} is not possible ({error.strerror or error}): give an address of this "
                "machine that the other machines can reach, and a free port"
            ) from None
        self._address = address
        self._store = open_store(address, port, is_master=True, master_listen_fd=listening.detach())
        self._num_seen = 0  # entries up to and including the last round

    @raises_group_lost
    def num_waiting(self) -> int:
        """The number of entries since the last round."""
        return int(self._store.add("entries", 0)) - self._num_seen

    @raises_group_lost
    def form_group(self, expected: int, max_followers: int = MAX_FOLLOWERS) -> Group:
        """Run the next round and return its group.

        Waits until there are `expected` entries or `REENTRY_TIMEOUT_SECONDS` have passed, then takes the first
        `max_followers` of those that acknowledge.
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
    """A follower's end of the rendezvous; one object per attempt to join."""

    def __init__(self, address: str, port: int) -> None:
        """Add an entry to the store; GroupLost if there is no server at the address."""
        try:
            with socket.create_connection((address, port), STORE_TIMEOUT_SECONDS) as connection:
                self._address = connection.getsockname()[0]
            self._store = open_store(address, port, is_master=False)
            self._next_round = max(1, self._store.add("rounds", 0))  # the round whose announcement is awaited
            self._entry_id = self._store.add("entries", 1)
        except (OSError, RuntimeError) as error:
            raise GroupLost(error_message(error)) from None

    @raises_group_lost
    def wait_for_group(self) -> Group | None:
        """The group that this machine became a member of; None if no round admitted it in time."""
        number = self._next_round
        if not wait_until(lambda: self._store.check([f"call/{number}"]), ACK_TIMEOUT_SECONDS):
            return None
        self._next_round += 1
        first, end = json.loads(self._store.get(f"call/{number}"))
        if self._entry_id < first:  # this machine missed the announcement of its round
            self._entry_id = self._store.add("entries", 1)
        if not first <= self._entry_id < end:
            return None
        self._store.set(f"here/{number}/{self._entry_id}", self._address)
        members = json.loads(self._store.get(f"members/{number}"))  # blocks until the leader has written them
        if self._entry_id not in members["entries"]:  # acknowledged too late, or the group was full
            self._entry_id = self._store.add("entries", 1)
            return None
        return Group(self._store, f"round/{number}", 1 + members["entries"].index(self._entry_id), members["addresses"])


def open_store(address: str, port: int, **options: Any) -> Any:
    """A TCPStore at an address (`is_master=True`), or a connection to one."""
    return dist.TCPStore(
        address, port, wait_for_workers=False, timeout=timedelta(seconds=STORE_TIMEOUT_SECONDS), **options
    )


def printable_address(address: bytes) -> str:
    """A machine's address as it reported it: at most 64 characters, without terminal control characters."""
    return "".join(c for c in address.decode("ascii", "replace")[:64] if c.isprintable())


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition until it holds or `seconds` have passed; whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
