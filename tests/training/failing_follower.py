"""The control node of a machine that comes to take part, and is lost at every place in turn: before or after a call."""

import itertools
from collections.abc import Callable
from typing import Any

from cllm.spheres.group import Group, GroupLost
from cllm.training import follower

calls = itertools.count(1)
lost_at = {sum(range(5, 5 + number)) for number in range(1, 30)}  # 5, 11, 18, 26, ...: each life is one call longer


def failing(call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        number = next(calls)
        if number in lost_at and number % 2:
            raise GroupLost("before it")
        found = call(*arguments)
        if number in lost_at:
            raise GroupLost("after it")
        return found

    return wrapped


def main() -> None:
    make_it_fail()
    follower.main()


def make_it_fail() -> None:
    for name in ("broadcast", "all_gather_values", "all_to_all", "all_gather"):
        setattr(Group, name, failing(getattr(Group, name)))
