"""Groups of machines: rendezvous, collectives, lost members, and the limit of twelve."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from cllm.errors import UsageError
from cllm.spheres import group as group_module
from cllm.spheres.group import Group, GroupLost, RendezvousClient, RendezvousServer

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def join_group(port: int) -> tuple[RendezvousClient, Group]:
    client = RendezvousClient(HOST, port)
    while (found := client.wait_for_group()) is None:
        pass
    return client, found


def form_groups(number: int) -> tuple[RendezvousServer, list[Any]]:
    """A rendezvous server, and (client, group) of the leader and `number` followers, by rank."""
    server = RendezvousServer(HOST, port := free_port())
    with ThreadPoolExecutor(number + 1) as pool:
        others = [pool.submit(join_group, port) for _ in range(number)]
        first = server.form_group(number)
        rest = [other.result() for other in others]
    return server, [(None, first), *sorted(rest, key=lambda pair: pair[1].rank)]


def call_in_parallel(groups: list[Any], call: Callable[[Group], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(groups)) as pool:
        return list(pool.map(lambda pair: call(pair[1]), groups))


@pytest.fixture(scope="module")
def three_machines() -> Any:
    return form_groups(2)


def test_leader_has_rank_zero(three_machines: Any) -> None:
    _, groups = three_machines
    assert [group.rank for _, group in groups] == [0, 1, 2]
    assert all(group.addresses == [HOST] * 3 for _, group in groups)


def test_broadcast_object_sends_the_value_of_rank_zero(three_machines: Any) -> None:
    for value in ({"call": "step", "step": 3, "plan": "ä" * 5000}, None, []):
        assert (
            call_in_parallel(
                three_machines[1], lambda group, value=value: group.broadcast_object(value if group.rank == 0 else None)
            )
            == [value] * 3
        )  # noqa: B023


def test_all_gather_values_orders_by_rank_and_keeps_nan(three_machines: Any) -> None:
    for found in call_in_parallel(
        three_machines[1], lambda group: group.all_gather_values([group.rank, float("nan"), 0.1])
    ):
        assert found.dtype == torch.float64 and found[:, 0].tolist() == [0, 1, 2]
        assert found[:, 1].isnan().all() and (found[:, 2] == 0.1).all()


def test_all_to_all_sends_each_rank_its_slice(three_machines: Any) -> None:
    """Rank r sends rank n the value 10 r + n, repeated n + 1 times."""

    def call(group: Group) -> torch.Tensor:
        values = torch.cat([torch.full((n + 1,), 10.0 * group.rank + n) for n in range(3)])
        return group.all_to_all(values, [1, 2, 3], [group.rank + 1] * 3)

    for rank, found in enumerate(call_in_parallel(three_machines[1], call)):
        assert found.tolist() == [10.0 * r + rank for r in range(3) for _ in range(rank + 1)]


def test_all_gather_concatenates_by_rank(three_machines: Any) -> None:
    for found in call_in_parallel(
        three_machines[1], lambda group: group.all_gather(torch.tensor([group.rank, group.rank + 0.5]))
    ):
        assert found.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]


def test_lost_machine_raises_group_lost_and_a_new_group_forms() -> None:
    server, groups = form_groups(2)
    assert server.num_waiting() == 0
    port = server._store.port
    groups[2] = None  # its connections are closed
    with pytest.raises(GroupLost):
        groups[0][1].all_gather_values([1.0])
    with pytest.raises(GroupLost) as lost:
        groups[1][1].all_gather_values([1.0])
    assert "\n" not in str(lost.value) and ".cc" not in str(lost.value)
    groups.clear()
    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(join_group, port) for _ in range(2)]
        second_group = server.form_group(2)
        assert sorted(other.result()[1].rank for other in others) == [1, 2] and second_group.size == 3


def test_form_group_does_not_wait_long_for_a_client_that_has_left() -> None:
    server = RendezvousServer(HOST, port := free_port())
    RendezvousClient(HOST, port)
    assert server.num_waiting() == 1
    began = time.monotonic()
    assert server.form_group(0).size == 1
    assert time.monotonic() - began < 10
    assert server.num_waiting() == 0


def test_thirteenth_machine_is_not_admitted() -> None:
    server = RendezvousServer(HOST, port := free_port())
    rejected = []

    def join_once() -> None:
        client = RendezvousClient(HOST, port)
        for _ in range(3):
            if (found := client.wait_for_group()) is not None:
                groups.append(found)
                return
        rejected.append(client)

    groups: list[Group] = []
    threads = [threading.Thread(target=join_once) for _ in range(12)]
    for thread in threads:
        thread.start()
    group_module.wait_until(lambda: server.num_waiting() == 12, 30)
    first = server.form_group(12)
    for thread in threads:
        thread.join()
    assert first.size == 12 and len(groups) == 11 and len(rejected) == 1


def test_missing_server_raises_group_lost_and_occupied_port_usage_error() -> None:
    with pytest.raises(GroupLost, match="refused"):
        RendezvousClient(HOST, free_port())
    with socket.create_server((HOST, 0)) as occupied, pytest.raises(UsageError, match="free port"):
        RendezvousServer(HOST, occupied.getsockname()[1])
