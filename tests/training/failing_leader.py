"""The same of Node Zero's machine: the others have made a step sometimes, and it has not."""

from failing_follower import make_it_fail

from cllm.training import leader


def main() -> None:
    make_it_fail()
    leader.main()
