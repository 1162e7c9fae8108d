"""The cost model of a step: rounds, cores, exchange between machines, and levels."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm.spheres.cost import (
    Costs,
    Link,
    Topology,
    control_message_seconds,
    efficiency,
    exchange_cost,
    levels_for,
    radices,
    step_cost,
)

COSTS = Costs(
    micro_batch_seconds=0.02,
    update_seconds=0.04,
    largest_share={number: 1 / number for number in range(1, 13)},
    sum_bytes_per_second=5e9,
    message_seconds=50e-6,
    vector_size=1_000_000,
    bytes_per_value=2,
    tokens_per_micro_batch=256,
)
LINK = Link(latency_seconds=1e-4, bytes_per_second=125e6)
FREE = Link(latency_seconds=0.0, bytes_per_second=math.inf, message_seconds=0.0)


def test_single_worker_computes_everything_in_sequence() -> None:
    cost = step_cost(COSTS, Topology(workers=1, cores=1), LINK)
    assert cost.compute == pytest.approx(12 * 0.02) and cost.update == pytest.approx(0.04)
    assert cost.sum == pytest.approx(12 * 2e6 / 5e9) and cost.exchange == cost.link_bytes == 0
    assert cost.tokens == 12 * 256
    assert cost.seconds == pytest.approx(cost.compute + cost.sum + cost.update + cost.messages)
    assert efficiency(COSTS, Topology(workers=1, cores=1), LINK) == 1


@pytest.mark.parametrize(("workers", "rounds"), [(1, 12), (2, 6), (3, 4), (5, 3), (6, 2), (7, 2), (12, 1)])
def test_compute_time_is_the_number_of_rounds(workers: int, rounds: int) -> None:
    assert step_cost(COSTS, Topology(workers=workers, cores=12), LINK).compute == pytest.approx(rounds * 0.02)


def test_compute_time_is_limited_by_the_cores() -> None:
    for workers in (2, 3, 5, 12):
        assert step_cost(COSTS, Topology(workers=workers, cores=2), LINK).compute == pytest.approx(6 * 0.02)
    two = step_cost(COSTS, Topology(workers=13, cores=2, levels=2), LINK)
    assert two.compute == pytest.approx(72 * 0.02) and two.tokens == 144 * 256


def test_machines_divide_the_positions_of_the_lower_level() -> None:
    topology = Topology(workers=24, cores=12, machines=2, levels=2)
    assert step_cost(COSTS, topology, LINK).compute == pytest.approx(6 * 0.02)
    five = dataclasses.replace(topology, workers=60, machines=5)
    # The most loaded machine has three of the twelve positions.
    assert step_cost(COSTS, five, LINK).compute == pytest.approx(3 * 0.02)
    many = Topology(workers=1728, cores=12, machines=144, levels=3)
    assert step_cost(COSTS, many, LINK).compute == pytest.approx(0.02)


def test_exchange_cost_of_two_and_three_machines() -> None:
    seconds, sent = exchange_cost(COSTS, Topology(workers=24, cores=12, machines=2, levels=2), LINK)
    assert sent == pytest.approx(3 * 4e6 / 2)  # six positions are two blocks: 2 + 1 halves of 4 MB
    assert seconds == pytest.approx(sent / 125e6 + 2 * 1e-4 + 2 * LINK.message_seconds)
    _, sent = exchange_cost(COSTS, Topology(workers=36, cores=12, machines=3, levels=2), LINK)
    assert sent == pytest.approx(2 * 4e6 * 2 / 3)


def test_control_messages_are_two_broadcasts_and_an_all_gather() -> None:
    assert control_message_seconds(Topology(workers=1, cores=1), LINK) == 0
    assert control_message_seconds(Topology(workers=144, cores=12, machines=12, levels=2), LINK) == pytest.approx(
        (2 * 4 + 11) * 1e-4
    )


@given(st.integers(1, 20_736), st.sampled_from([2, 4, 8, 12, 16, 20_736]))
def test_radices_cover_all_machines_within_the_fanout(machines: int, fanout: int) -> None:
    found = radices(machines, fanout)
    assert math.prod(found) >= machines and all(2 <= number <= fanout for number in found)
    assert len(found) == (0 if machines == 1 else max(1, math.ceil(round(math.log(machines, fanout), 9))))


@given(st.integers(2, 12), st.integers(1, 12), st.integers(1, 64))
def test_rare_exchanges_and_free_links_are_never_slower(machines: int, cores: int, every: int) -> None:
    topology = Topology(workers=machines * cores, cores=cores, machines=machines, levels=2)
    often = step_cost(COSTS, topology, LINK)
    rarely = step_cost(COSTS, dataclasses.replace(topology, sync_every=every), LINK)
    assert rarely.seconds <= often.seconds and rarely.link_bytes == pytest.approx(often.link_bytes / every)
    assert step_cost(COSTS, topology, FREE).exchange == 0
    assert 0 < efficiency(COSTS, topology, LINK) <= efficiency(COSTS, topology, FREE) <= 1 + 1e-9


@pytest.mark.parametrize(("workers", "levels"), [(1, 1), (12, 1), (13, 2), (144, 2), (145, 3), (1728, 3), (20_736, 4)])
def test_levels_for_a_number_of_workers(workers: int, levels: int) -> None:
    assert levels_for(workers) == levels
