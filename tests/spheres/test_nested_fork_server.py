"""A sphere whose control node is a worker of another."""

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


def below(sphere: Sphere) -> list[dict[str, Any]]:
    return sphere.call_all("below")


def pids(found: dict[str, Any]) -> list[int]:
    return [found["own"], found["fork_server"], *found["workers"]]


def test_workers_of_workers_answer_and_have_what_those_have(sphere: Sphere) -> None:
    assert sphere.map_tasks("map_tasks", [{"numbers": list(range(20))}] * 5) == [SQUARES] * 5
    one, other = below(sphere)
    assert len({*pids(one), *pids(other)}) == 10
    assert one["prepared"] == [[1]] * 3, "forks of it: nothing is imported anew"


def test_each_sphere_replaces_its_own(sphere: Sphere) -> None:
    before = below(sphere)
    os.kill(before[0]["workers"][1], signal.SIGKILL)
    assert sphere.map_tasks("map_tasks", [{"numbers": list(range(20))}] * 4) == [SQUARES] * 4
    after = below(sphere)
    assert [found["num_replacements"] for found in after] == [1, 0] and not sphere.replacement_reasons
    assert [found["own"] for found in after] == [found["own"] for found in before]


def test_with_a_control_node_go_all_below_it_and_others_come(sphere: Sphere) -> None:
    before = below(sphere)
    os.kill(before[0]["own"], signal.SIGKILL)
    assert sphere.map_tasks("map_tasks", [{"numbers": list(range(20))}] * 4) == [SQUARES] * 4
    wait_until_gone(pids(before[0]))
    after = below(sphere)
    assert after[1] == before[1] and not {*pids(after[0])} & {*pids(before[0])}
    assert len(sphere.replacement_reasons) == 1


def test_nobody_is_left_behind() -> None:
    with (
        ForkServer(["control_worker"], ENVIRONMENT) as fork_server,
        Sphere(fork_server, "control_worker", 2, idempotent=True) as sphere,
    ):
        all_pids = [pid for found in below(sphere) for pid in pids(found)]
        assert all(is_alive(pid) for pid in all_pids)
    wait_until_gone(all_pids)
