"""The choice of network, steps and vocabulary size by time, memory and repository size."""

import pytest

from cllm.model.config import TransformerConfig
from cllm.training.choose import (
    CONTEXTS,
    MAX_EPOCHS,
    MIN_TOKENS,
    SHAPES,
    Measure,
    PlanRequest,
    Timing,
    choose_model,
    max_training_tokens,
    plan_of_seconds,
    plan_of_steps,
    step_seconds,
    vocab_size_for,
)
from cllm.training.plan import Engine, Plan

ENGINE = Engine(dtype="float32", instruction_set="", torch_version="", numba_version="")


def machine(flops_per_second: float) -> Measure:
    def measure(config: TransformerConfig, shapes: list[tuple[int, int]]) -> Timing:
        micro_batch_seconds = [config.training_flops_per_token(c) * c * rows / flops_per_second for c, rows in shapes]
        return Timing(micro_batch_seconds=tuple(micro_batch_seconds), update_seconds=0.01)

    return measure


def request(**changes: object) -> PlanRequest:
    return PlanRequest(**{"vocab_size": 4096, "tokens": 800_000, "engine": ENGINE, "num_workers": 2, **changes})  # type: ignore[arg-type]


def planned(plan_request: PlanRequest, measure: Measure) -> Plan:
    model = choose_model(plan_request, measure)
    if plan_request.steps is not None:
        return plan_of_steps(plan_request, model)
    return plan_of_seconds(plan_request, model, measure(model, SHAPES))


@pytest.mark.parametrize("seconds", [10.0, 60.0, 270.0, 1800.0])
@pytest.mark.parametrize("speed", [2e10, 1e11, 5e11])
def test_planned_steps_fill_the_time_or_the_epochs(seconds: float, speed: float) -> None:
    plan_request = request(seconds=seconds)
    plan = planned(plan_request, machine(speed))
    assert plan.model.context_length == CONTEXTS[-1][0]
    measured = machine(speed)(plan.model, SHAPES)
    each = step_seconds(measured, 2)
    taken = sum(phase.steps * second for phase, second in zip(plan.phases, each, strict=True))
    longest = max(each)
    capped = plan.tokens >= 0.9 * MAX_EPOCHS * plan_request.tokens
    assert taken <= seconds + 2 * longest + 1e-9
    assert capped or taken >= seconds - 2 * longest


def test_longer_budget_gives_a_larger_network() -> None:
    sizes = [planned(request(seconds=s), machine(1e11)).model.num_matrix_parameters for s in (5, 60, 300, 3000)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_networks_are_measured_until_one_is_too_slow() -> None:
    measured = []

    def measure(config: TransformerConfig, shapes: list[tuple[int, int]]) -> Timing:
        measured.append(config.n_embd)
        return machine(1e9 if config.n_embd > 256 else 1e12)(config, shapes)  # slower than the operation count suggests

    assert choose_model(request(seconds=300.0), measure).n_embd == 256
    assert measured == [192, 256, 384]


def test_network_that_does_not_fit_into_memory_is_not_measured() -> None:
    measured = []

    def measure(config: TransformerConfig, shapes: list[tuple[int, int]]) -> Timing:
        measured.append(config.n_embd)
        return machine(1e12)(config, shapes)

    assert choose_model(request(seconds=3000.0, free_bytes=250e6), measure).n_embd == 192
    assert measured == [192]


def test_more_spheres_need_more_memory() -> None:
    many = {"seconds": 3000.0, "tokens": 10**9, "levels": 2, "free_bytes": 1e9}
    sizes = [choose_model(request(**many, num_workers=number), machine(1e12)).n_embd for number in (12, 144)]
    assert sizes[0] > sizes[1]


def test_tiny_repository_gets_min_tokens() -> None:
    plan = planned(request(seconds=300.0, tokens=1000), machine(1e11))
    assert MIN_TOKENS * 0.9 <= plan.tokens <= MIN_TOKENS * 1.1


def test_time_beyond_all_epochs_changes_nothing() -> None:
    day, week = (planned(request(seconds=days * 86_400.0), machine(1e11)) for days in (1, 7))
    assert day.model == week.model and day.tokens == pytest.approx(week.tokens, rel=0.01)
    assert day.model.num_matrix_parameters <= 1.3 * day.tokens


def test_max_steps_is_the_number_of_steps_of_all_epochs() -> None:
    by_time = planned(request(seconds=300.0), machine(1e11))
    assert by_time.max_steps is not None
    assert by_time.max_steps * by_time.tokens / by_time.steps == pytest.approx(max_training_tokens(request()), rel=0.01)
    by_epochs = planned(request(seconds=86_400.0), machine(1e11))
    assert by_epochs.max_steps == pytest.approx(by_epochs.steps, rel=0.01)
    assert by_epochs.seconds == 86_400.0, "a slower machine may use the whole budget"


def test_small_repository_gets_a_larger_network_with_more_time() -> None:
    sizes = [
        planned(request(seconds=s, tokens=216_000, vocab_size=2048), machine(1e11)).model.n_embd
        for s in (20, 200, 2000)
    ]
    assert sizes == [128, 192, 256]


def test_many_epochs_use_dropout() -> None:
    few, many = (planned(request(seconds=seconds), machine(1e11)) for seconds in (60.0, 86_400.0))
    assert few.training.dropout == 0 and many.training.dropout > 0


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 40, 1000])
def test_requested_steps_are_planned_without_measuring(steps: int) -> None:
    def fail(config: TransformerConfig, shapes: list[tuple[int, int]]) -> Timing:
        raise AssertionError("a run by steps must not measure")

    plan = planned(request(steps=steps), fail)
    assert plan.steps == steps and plan.seconds is None
    assert steps < 10 or plan.model.context_length == CONTEXTS[-1][0]


def test_step_takes_as_long_as_its_busiest_worker() -> None:
    timing = Timing(micro_batch_seconds=(1.0,), update_seconds=6.0)
    one, two, five = (step_seconds(timing, workers)[0] for workers in (1, 2, 5))
    assert one == pytest.approx(2 * two)
    assert five > one / 5


def test_larger_repositories_get_larger_vocabularies() -> None:
    sizes = [vocab_size_for(10**power) for power in range(3, 11)]
    assert sizes == sorted(sizes) and sizes[0] == 1024
