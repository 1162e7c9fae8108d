"""The leader with the same failures: the followers may have made a step that it has not."""

from failing_follower import make_group_calls_fail

from cllm.training import leader


def main() -> None:
    make_group_calls_fail()
    leader.main()
