"""Speed measurement: the number of samples depends on the duration."""

import time

import pytest

from cllm.training import measure


def test_slow_calls_are_sampled_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    for seconds, times in ((0.01, 1 + measure.MAX_SAMPLES), (0.4, 1 + 3), (30.0, 1 + 1)):
        calls = []

        def call(seconds: float = seconds, calls: list[int] = calls) -> None:
            calls.append(1)
            now[0] += seconds

        assert measure._median_seconds(call) == pytest.approx(seconds)
        assert len(calls) == times
