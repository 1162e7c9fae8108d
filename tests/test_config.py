"""Configuration files: overrides, type checks and unknown keys."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from cllm.config import load_settings, override
from cllm.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Thing:
    count: int = 3
    share: float = 0.5
    on: bool = True
    name: str = "x"
    pair: tuple[float, float] = (1.0, 2.0)
    names: tuple[str, ...] = ()


ALLOWED = {"thing": ["count", "share", "on", "name", "pair", "names"]}


def test_settings_override_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[thing]\ncount = 4\nshare = 1\non = false\npair = [0.1, 0.2]\nnames = ['a']\n")
    settings = load_settings(tmp_path / "c.toml", ALLOWED)
    changed = override(Thing(), settings["thing"], "thing")
    assert (changed.count, changed.share, changed.on, list(changed.pair)) == (4, 1, False, [0.1, 0.2])
    assert list(changed.names) == ["a"]


@pytest.mark.parametrize(
    "values",
    [
        *({"count": "4"}, {"count": 4.5}, {"count": True}, {"on": 1}, {"name": 3}, {"pair": 1.0}, {"share": "a"}),
        *({"pair": ["a", "b"]}, {"names": [1]}, {"names": "a"}),
    ],
)
def test_value_of_the_wrong_type_raises_an_error_naming_the_key(values: dict[str, object]) -> None:
    (key,) = values
    with pytest.raises(UsageError, match=key):
        override(Thing(), values, "thing")


@pytest.mark.parametrize(("text", "suggestion"), [("[thign]\n", "thing"), ("[thing]\ncuont = 1\n", "count")])
def test_unknown_key_raises_an_error_suggesting_the_nearest(tmp_path: Path, text: str, suggestion: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UsageError, match=f"did you mean '{suggestion}'"):
        load_settings(tmp_path / "c.toml", ALLOWED)
