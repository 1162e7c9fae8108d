"""Nested fork servers: a sphere whose workers are control nodes of spheres."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import is_alive, wait_until_gone

from cllm.spheres import ForkServer, Sphere

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
SQUARES = [x * x for x in range(20)]


@pytest.fixture
def sphere() -> Iterator[Sphere]:
    with (
        ForkServer(["control_worker"], ENVIRONMENT) as fork_server,
        Sphere(fork_server, "control_worker", 2, idempotent=True) as sphere,
    ):
        yield sphere


def describe_children(sphere: Sphere) -> list[dict[str, Any]]:
    return sphere.call_all("describe_children")


def pids(found: dict[str, Any]) -> list[int]:
    return [found["own"], found["fork_server"], *found["workers"]]


def test_nested_workers_answer_and_inherit_memory(sphere: Sphere) -> None:
    assert sphere.map_tasks("map_tasks", [{"numbers": list(range(20))}] * 5) == [SQUARES] * 5
    one, other = describe_children(sphere)
    assert len({*pids(one), *pids(other)}) == 10
    assert one["prepared"] == [[1]] * 3, "forks of the control node, so nothing is imported again"


def test_each_sphere_replaces_its_own_workers(sphere: Sphere) -> None:
    before = describe_children(sphere)
    os.kill(before[0]["workers"][1], signal.SIGKILL)
    assert sphere.map_tasks("map_tasks", [{"numbers": list(range(20))}] * 4) == [SQUARES] * 4
    after = describe_children(sphere)
    assert [found["num_replacements"] for found in after] == [1, 0] and not sphere.replacement_reasons
    assert [found["own"] for found in after] == [found["own"] for found in before]


def test_killed_control_node_is_replaced_with_all_its_workers(sphere: Sphere) -> None:
    before = describe_children(sphere)
    os.kill(before[0]["own"], signal.SIGKILL)
    assert sphere.map_tasks("map_tasks", [{"numbers": list(range(20))}] * 4) == [SQUARES] * 4
    wait_until_gone(pids(before[0]))
    after = describe_children(sphere)
    assert after[1] == before[1] and not {*pids(after[0])} & {*pids(before[0])}
    assert len(sphere.replacement_reasons) == 1


def test_exit_ends_all_nested_processes() -> None:
    with (
        ForkServer(["control_worker"], ENVIRONMENT) as fork_server,
        Sphere(fork_server, "control_worker", 2, idempotent=True) as sphere,
    ):
        all_pids = [pid for found in describe_children(sphere) for pid in pids(found)]
        assert all(is_alive(pid) for pid in all_pids)
    wait_until_gone(all_pids)
