"""Progress reporters for pipes and terminals."""

import io

from rich.console import Console

from cllm.progress import PlainReporter, TerminalReporter, reporter


def test_pipe_output_is_plain_lines_without_escape_codes() -> None:
    stream = io.StringIO()
    with reporter(stream) as report:
        assert isinstance(report, PlainReporter)
        report.start_phase("scan")
        report.log("3 files")
        report.update(0.5, "quiet for ten seconds", 3.0)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 and lines[0].endswith("scan ...") and lines[1].endswith("3 files")
    assert "\x1b" not in stream.getvalue()


def test_terminal_shows_phase_percentage_metrics_and_time_left() -> None:
    stream = io.StringIO()
    with TerminalReporter(Console(file=stream, force_terminal=True, width=100)) as report:
        report.start_phase("scan")
        report.start_phase("train")
        report.update(0.25, "loss 2.5", 125.0)
        report.log("[a line] that stays")
    shown = stream.getvalue()
    assert "train" in shown and "25%" in shown and "loss 2.5" in shown and "2:05 left" in shown
    assert "[a line] that stays" in shown
