"""Settings of prediction come from the environment, and a bad one names its variable."""

import pytest

from services.prediction.config import Settings
from services.shared.config import load
from services.shared.errors import StartFailed


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNAL_POLICY", "SIGNAL_BAR"):
        monkeypatch.delenv(name, raising=False)
    settings = load(Settings)
    assert (settings.signal_policy, settings.signal_bar) == ("lean", "1d")


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNAL_POLICY", "edge")
    assert load(Settings).signal_policy == "edge"


@pytest.mark.parametrize(("name", "value"), [("SIGNAL_POLICY", "greedy"), ("SIGNAL_BAR", "1h")])
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartFailed, match=f"^{name}: "):
        load(Settings)
