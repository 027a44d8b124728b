"""Buy, sell or hold, and why; and the event that says so. The only place where that is decided.

Buy when the forecast passes what a round trip costs plus a band, back to hold when it falls below the costs minus the
band; sell mirrors. So a forecast that wavers about the costs does not flip the signal with every bar.
"""

from datetime import date
from functools import lru_cache
from math import exp, floor, log10
from typing import Final, Literal

from services.prediction.core.calibration import COVERAGE
from services.prediction.core.models import HORIZONS, Forecast
from services.prediction.core.scores import edge_is_real
from services.shared.calendars import close_time, sessions_after
from services.shared.events import Bar, Direction, Interval, Prediction, Signal, Skill, rfc3339, seconds

Policy = Literal["lean", "edge"]
Reason = Literal["no_model", "warming_up", "outside_domain", "no_edge"]
"""no_model: none in effect at that bar. warming_up: too few bars of this symbol. outside_domain: features unlike any in
training. no_edge: policy `edge`, and the model's scored edge on this symbol is not real."""

COSTS: Final = 0.0010  # log return: 10 basis points a round trip
BAND: Final = 0.0005
NO_EVIDENCE: Final = 0.5

_SIGNIFICANT: Final = 7  # digits of a published price
_DECIMALS: Final = 4  # of a published probability
_COMPARED: Final = 8  # decimals of a log return in comparisons, so that no last bit decides


def decide(
    forecast: Forecast, before: Prediction, policy: Policy, skill: Skill | None
) -> tuple[Prediction, Reason | None]:
    """The prediction after `before`, and why it is a hold whatever the forecast says (None: it isn't)."""
    if not forecast.inside:
        return "hold", "outside_domain"
    if policy == "edge" and not edge_is_real(skill):
        return "hold", "no_edge"
    return _side(round(forecast.log_return, _COMPARED), before), None


def _side(expected: float, before: Prediction) -> Prediction:
    to_buy = COSTS - BAND if before == "buy" else COSTS + BAND
    to_sell = COSTS - BAND if before == "sell" else COSTS + BAND
    if expected >= to_buy:
        return "buy"
    return "sell" if expected <= -to_sell else "hold"


def direction(forecast: Forecast) -> Direction:
    return "bullish" if forecast.log_return >= 0 else "bearish"


def price_target(price: float, forecast: Forecast) -> float:
    """`price` x exp(forecast), rounded to 7 digits of `price`, but never onto it: the direction stays visible."""
    target = rounded(price * exp(forecast.log_return), price)
    if direction(forecast) == "bullish":
        return target if target > price else rounded(price + _unit(price), price)
    return target if target < price else rounded(price - _unit(price), price)


def interval(price: float, forecast: Forecast) -> Interval:
    """Where the price will lie at the horizon's end with probability COVERAGE; it holds the target."""
    low, high = rounded(price * exp(forecast.low), price), rounded(price * exp(forecast.high), price)
    target = price_target(price, forecast)
    return Interval(low=min(low, target), high=max(high, target), coverage=COVERAGE)


def confidence(forecast: Forecast) -> float:
    return round(forecast.confidence, _DECIMALS)


def rounded(value: float, like: float) -> float:
    """`value` to as many decimals as give `like` 7 significant digits."""
    return round(value, _decimals(like))


def _decimals(price: float) -> int:
    return _SIGNIFICANT - 1 - floor(log10(price))


def _unit(price: float) -> float:
    return float(10.0 ** -_decimals(price))


@lru_cache(maxsize=1024)
def horizon_end(day: str, horizon: str) -> str:
    """RFC 3339 at which the horizon of a forecast made at the close of `day` ends: until then it is valid."""
    return rfc3339(close_time(sessions_after(date.fromisoformat(day), HORIZONS[horizon])))


def signal(
    bar: Bar,
    *,
    prev_seq: int,
    prediction: Prediction,
    reason: Reason | None,
    forecast: Forecast | None,
    horizon: str,
    model_version: str,
    skill: Skill | None,
) -> Signal:
    """The event for a decision at `bar`. Without a forecast it says so: no evidence, no change, no interval."""
    return Signal(
        symbol=bar.symbol,
        prediction=prediction,
        timestamp=seconds(bar.time),
        epoch=bar.epoch,
        seq=bar.seq,
        prev_seq=prev_seq,
        time=bar.time,
        confidence=NO_EVIDENCE if forecast is None else confidence(forecast),
        horizon=horizon,
        price_target=bar.close if forecast is None else price_target(bar.close, forecast),
        direction="bullish" if forecast is None else direction(forecast),
        interval=None if forecast is None else interval(bar.close, forecast),
        model_version=model_version,
        skill=skill,
        valid_until=horizon_end(bar.date, horizon),
        reason=reason,
        source=bar.source,
    )
