from datetime import date
from math import inf
from pathlib import Path

import pytest

from services.shared.config import load
from services.shared.errors import StartFailed
from services.stock_data.config import Settings
from services.stock_data.core.start import Share


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_defaults() -> None:
    settings = load(Settings)
    assert (settings.feed, settings.symbols, settings.replay_rate) == ("replay", (), 10.0)
    assert (settings.replay_start, settings.replay_delay_s, settings.replay_loop) == (None, 0.0, True)


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"FEED": "csv:/a,b.csv", "SYMBOLS": " aapl, MSFT ,", "REPLAY_RATE": "max", "REPLAY_START": "25%"}
    for name, value in {**values, "REPLAY_LOOP": "false", "REPLAY_DELAY_S": "1.5"}.items():
        monkeypatch.setenv(name, value)
    settings = load(Settings)
    assert (settings.feed, settings.symbols, settings.replay_rate) == ("csv:/a,b.csv", ("aapl", "MSFT"), inf)
    assert (settings.replay_start, settings.replay_delay_s, settings.replay_loop) == (Share(0.25), 1.5, False)


def test_a_start_may_be_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLAY_START", "2012-06-01")
    assert load(Settings).replay_start == date(2012, 6, 1)


@pytest.mark.parametrize(
    ("name", "value", "accepts"),
    [
        ("FEED", "alpaca", "what works today: replay, csv:PATH"),
        ("FEED", "csv:", "what works today"),
        ("REPLAY_RATE", "fast", "a number above 0"),
        ("REPLAY_RATE", "0", "greater than 0"),
        ("REPLAY_RATE", "nan", "greater than 0"),
        ("REPLAY_START", "120%", "a date YYYY-MM-DD, or 0% to 100%"),
        ("REPLAY_DELAY_S", "-1", "greater than or equal to 0"),
        ("REPLAY_LOOP", "perhaps", "boolean"),
        ("READER_LAG_LIMIT", "1", "greater than or equal to 100"),
    ],
)
def test_a_bad_value_is_one_line_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, accepts: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartFailed, match=rf"^{name}: .*{accepts}") as failed:
        load(Settings)
    assert "\n" not in failed.value.detail
