"""What `cllm info` prints of a corpus."""

from cllm.commands.info import skipped_rows


def test_what_was_left_out_is_counted_by_reason() -> None:
    report = {
        "skipped": {"ignored": 3, "Git LFS pointer": 1},
        "skipped_directories": {"own output": 1, "vendored or installed": 1, "another repository": 2},
        "long_lines": {"files": 2, "lines": 3, "bytes": 61_000},
        "notes": ["the list of tracked files is not used"],
    }
    assert skipped_rows(report) == [
        ("  skipped: Git LFS pointer", "1"),
        ("  skipped: ignored", "3"),
        ("  not entered: another repository", "2 folders"),
        ("  not entered: vendored or installed", "1 folder"),
        ("  long lines", "3 left out of 2 files, 61,000 bytes"),
        ("  note", "the list of tracked files is not used"),
    ]
    assert skipped_rows({"skipped": {}}) == []  # of an earlier version
