"""A follower whose group calls fail in turn: each connection is lost one call later, before or after the call."""

import itertools
from collections.abc import Callable
from typing import Any

from cllm.spheres.group import Group, GroupLost
from cllm.training import follower

calls = itertools.count(1)
# 5, 11, 18, 26, ...: each connection lasts one call longer.
FAILING_CALLS = {sum(range(5, 5 + number)) for number in range(1, 30)}


def failing(call: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> Any:
        number = next(calls)
        if number in FAILING_CALLS and number % 2:
            raise GroupLost("before the call")
        found = call(*arguments)
        if number in FAILING_CALLS:
            raise GroupLost("after the call")
        return found

    return wrapped


def main() -> None:
    make_group_calls_fail()
    follower.main()


def make_group_calls_fail() -> None:
    for name in ("broadcast", "all_gather_values", "all_to_all", "all_gather"):
        setattr(Group, name, failing(getattr(Group, name)))
