"""Buy, sell, hold: the band, the reasons, and numbers that always agree with the words."""

from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.prediction.core.models import Forecast
from services.prediction.core.signals import (
    BAND,
    COSTS,
    Policy,
    decide,
    direction,
    horizon_end,
    interval,
    price_target,
    rounded,
    signal,
)
from services.shared.events import Prediction, Skill, decode_signal, encode
from tests.unit.prediction.samples import final_bar, walk

BP = 1e-4
REAL = Skill(
    count=900, hit_rate=0.6, hit_rate_interval=(0.57, 0.63), baseline_hit_rate=0.5, mae=0.01, baseline_mae=0.011
)
LUCK = Skill(
    count=90, hit_rate=0.52, hit_rate_interval=(0.42, 0.62), baseline_hit_rate=0.5, mae=0.01, baseline_mae=0.01
)


def forecast(log_return: float, *, confidence: float = 0.55, inside: bool = True) -> Forecast:
    return Forecast(log_return, log_return - 0.02, log_return + 0.02, confidence, inside)


@pytest.mark.parametrize(
    ("basis_points", "before", "after"),
    [
        (15, "hold", "buy"),
        (14.9, "hold", "hold"),
        (14.9, "buy", "buy"),
        (5, "buy", "buy"),
        (4.9, "buy", "hold"),
        (14.9, "sell", "hold"),
        (15, "sell", "buy"),
        (-15, "hold", "sell"),
        (-14.9, "hold", "hold"),
        (-5, "sell", "sell"),
        (-4.9, "sell", "hold"),
        (-14.9, "buy", "hold"),
        (-15, "buy", "sell"),
        (0.1, "buy", "hold"),
    ],
)
def test_costs_and_band(basis_points: float, before: Prediction, after: Prediction) -> None:
    assert (COSTS, BAND) == (10 * BP, 5 * BP)
    assert decide(forecast(basis_points * BP), before, "lean", None) == (after, None)


def test_a_forecast_that_wavers_about_the_costs_does_not_flip() -> None:
    said: list[Prediction] = ["hold"]
    for basis_points in (16, 9, 11, 8, 12, 6, 4, 9, 11, 14):
        said.append(decide(forecast(basis_points * BP), said[-1], "lean", None)[0])
    assert said == ["hold"] + ["buy"] * 6 + ["hold"] * 4


@pytest.mark.parametrize("policy", ["lean", "edge"])
def test_outside_the_domain_is_hold(policy: Policy) -> None:
    assert decide(forecast(0.05, inside=False), "buy", policy, REAL) == ("hold", "outside_domain")


@pytest.mark.parametrize("skill", [None, LUCK])
def test_policy_edge_wants_a_real_edge(skill: Skill | None) -> None:
    assert decide(forecast(0.05), "buy", "edge", skill) == ("hold", "no_edge")
    assert decide(forecast(0.05), "buy", "lean", skill) == ("buy", None)
    assert decide(forecast(0.05), "buy", "edge", REAL) == ("buy", None)


@given(price=st.floats(1e-4, 1e6), log_return=st.floats(-0.5, 0.5))
@settings(deadline=None, max_examples=300)
def test_the_target_lies_where_the_direction_points(price: float, log_return: float) -> None:
    said = forecast(log_return)
    target = price_target(price, said)
    assert (target > price) is (direction(said) == "bullish")
    assert target != price
    assert log(target / price) == pytest.approx(log_return, abs=2e-6)
    between = interval(price, said)
    assert between.low < between.high
    assert between.low <= target <= between.high


@pytest.mark.parametrize("log_return", [1e-15, -1e-15])
def test_the_interval_of_a_price_that_stands_still_holds_the_target(log_return: float) -> None:
    still = Forecast(log_return, log_return, log_return, 0.5, True)
    between = interval(5.0, still)
    assert between.low <= price_target(5.0, still) <= between.high


@pytest.mark.parametrize(
    ("value", "like", "expected"),
    [
        (226.0123456, 226.01, 226.0123),
        (0.123456789, 0.5, 0.1234568),
        (123456.789, 99999.0, 123456.79),
        (9.5, 10.0, 9.5),
    ],
)
def test_published_prices_have_seven_digits(value: float, like: float, expected: float) -> None:
    assert rounded(value, like) == expected


@pytest.mark.parametrize(
    ("day", "end"),
    [
        ("2012-06-01", "2012-06-04T20:00:00.000000Z"),  # over a weekend, summer time
        ("2012-11-21", "2012-11-23T18:00:00.000000Z"),  # Thanksgiving, then a half day
    ],
)
def test_valid_until_the_next_close(day: str, end: str) -> None:
    assert horizon_end(day, "1d") == end


def test_the_event_of_a_forecast() -> None:
    bar = final_bar("AAA", walk(1, seed=1)[0]._replace(close=100.0), seq=9)
    said = signal(
        bar,
        prev_seq=6,
        prediction="buy",
        reason=None,
        forecast=forecast(0.002, confidence=0.534567),
        horizon="1d",
        model_version="v",
        skill=LUCK,
    )
    assert decode_signal(encode(said)) == said
    assert encode(said).startswith(
        b'{"type":"prediction_update","symbol":"AAA","prediction":"buy","timestamp":"2010-01-04T21:00:00Z",'
        b'"epoch":"e1","seq":9,"prev_seq":6,"time":"2010-01-04T21:00:00.000000Z","confidence":0.5346,"horizon":"1d",'
        b'"price_target":100.2002,"direction":"bullish","interval":{"low":98.2161,"high":102.2244,"coverage":0.8},'
    )
    assert said.valid_until == "2010-01-05T21:00:00.000000Z"
    assert said.source == "replay"


def test_the_event_without_a_forecast_claims_nothing() -> None:
    bar = final_bar("AAA", walk(1, seed=1)[0])
    said = signal(
        bar,
        prev_seq=0,
        prediction="hold",
        reason="no_model",
        forecast=None,
        horizon="1d",
        model_version="",
        skill=None,
    )
    assert (said.prediction, said.reason, said.confidence, said.price_target) == ("hold", "no_model", 0.5, bar.close)
    assert said.interval is None
