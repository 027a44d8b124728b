"""Hand-made records and rules for the tests of the alert engine."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from services.shared.events import Correction, Record, Split, Tick, rfc3339, seconds
from services.users.core.alerts import Alerts
from services.users.core.bars import Bars
from services.users.core.conditions import KINDS
from services.users.core.journal import Watch
from services.users.core.moment import Moment
from services.users.core.rules import Rule

START = datetime(2024, 9, 20, 13, 30, tzinfo=UTC)
EPOCH = "epoch-1"


def at(second: float) -> str:
    """RFC 3339, so many seconds after the start."""
    return rfc3339(START + timedelta(seconds=second))


def tick(seq: int, price: float, *, second: float | None = None, symbol: str = "AAPL", epoch: str = EPOCH) -> Tick:
    time = at(seq if second is None else second)
    return Tick(symbol=symbol, price=price, timestamp=seconds(time), epoch=epoch, seq=seq, time=time)


def split(seq: int, ratio: float, *, second: float | None = None, symbol: str = "AAPL", epoch: str = EPOCH) -> Split:
    time = at(seq if second is None else second)
    return Split(symbol=symbol, ratio=ratio, effective="2024-09-20", epoch=epoch, seq=seq, time=time)


def correction(
    seq: int,
    of_seq: int,
    price: float | None,
    *,
    second: float | None = None,
    symbol: str = "AAPL",
    epoch: str = EPOCH,
) -> Correction:
    time = at(seq if second is None else second)
    return Correction(symbol=symbol, of_seq=of_seq, price=price, epoch=epoch, seq=seq, time=time)


def moment(before: float | None, price: float) -> Moment:
    """A price that came after `before`."""
    now = Moment("1d", Bars(), Bars(), {})
    now.before, now.price, now.time = before, price, at(0)
    return now


def rule(
    *conditions: tuple[str, float],
    id: str = "rule",
    every_time: bool = True,
    symbol: str = "AAPL",
    cooldown_s: int = 0,
    hysteresis_pct: float = 0.0,
    expires_at: str | None = None,
) -> Rule:
    """A rule of user `ada`; every_time unless it is said otherwise, so that tests see all of its firings."""
    return Rule(
        id=id,
        version=1,
        user_id="ada",
        symbol=symbol,
        conditions=tuple(KINDS[kind](threshold) for kind, threshold in conditions),
        trigger="every_time" if every_time else "once",
        cooldown_s=cooldown_s,
        hysteresis_pct=hysteresis_pct,
        expires_at=expires_at,
    )


def feed(alerts: Alerts, records: Iterable[Record], *, first_of_epoch: bool = True) -> list[int]:
    """Applies records; the seq of each new firing."""
    seen = len(alerts.journal.firings)
    for record in records:
        alerts.apply(record, new_epoch=first_of_epoch)
        first_of_epoch = False
    return [firing.seq for firing in alerts.journal.firings[seen:]]


def fired_at(watched: Rule, prices: Iterable[float], *, before: float | None = None) -> list[int]:
    """Which of the prices (1, 2, 3 ...) fire a rule made after the price `before` (None: before any price)."""
    alerts = Alerts()
    if before is not None:
        feed(alerts, [tick(0, before)])
    alerts.add([Watch(watched)])
    ticks = [tick(number, price) for number, price in enumerate(prices, start=1)]
    return feed(alerts, ticks, first_of_epoch=before is None)
