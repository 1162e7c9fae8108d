"""The ignore rules and settings of the user who runs the tests do not count."""

import pytest


@pytest.fixture(autouse=True)
def no_configuration_of_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", ""), ("XDG_CONFIG_HOME", "/nonexistent")):
        monkeypatch.setenv(name, value)
