"""Time limits by a clock that the test moves."""

import math

from cllm.syntax.grammars import parse
from cllm.syntax.time_budget import TimeBudget


class Clock:
    """A clock that advances by `step` seconds at each question."""

    def __init__(self, step: float) -> None:
        self.now, self.step, self.num_questions = 100.0, step, 0

    def __call__(self) -> float:
        self.now += self.step
        self.num_questions += 1
        return self.now


def test_the_time_begins_with_the_first_question_after_a_restart() -> None:
    clock = Clock(0.0)
    budget = TimeBudget(2.0, clock)
    clock.now += 50
    assert not budget.is_spent
    clock.now += 1.5
    assert not budget.is_spent
    clock.now += 0.5
    assert budget.is_spent
    budget.restart(1.0)
    assert not budget.is_spent
    budget.restart(math.inf)
    assert not budget.is_spent and clock.num_questions == 4


def test_a_parse_ends_with_its_budget() -> None:
    clock = Clock(0.001)
    text = b"<" * 200_000  # quadratic in Shell: 100 s
    assert parse("Shell", text, TimeBudget(0.05, clock)) is None
    assert clock.num_questions <= 60
    assert parse("Shell", b"echo a\n", TimeBudget(0.05, Clock(0.001))) is not None
    assert parse("Shell", b"echo a\n", TimeBudget(0.0, Clock(0.001))) is None


def test_a_part_of_the_time_ends_with_the_whole() -> None:
    clock = Clock(0.0)
    whole = TimeBudget(2.0, clock)
    part, unlimited, long = whole.part(1.0), whole.part(math.inf), whole.part(3.0)
    assert not part.is_spent and not unlimited.is_spent
    clock.now += 1.5
    assert part.is_spent and not long.is_spent and not whole.is_spent
    clock.now += 1.0
    assert whole.is_spent and long.is_spent and unlimited.is_spent
    assert whole.part(1.0).is_spent and whole.part(math.inf).is_spent, "nothing is left"
    assert not TimeBudget(math.inf, clock).part(1.0).is_spent and TimeBudget(math.inf, clock).part(0.0).is_spent
