"""What a rule would have done: hand-made bars and prices, exact firings."""

from datetime import timedelta

import pytest

from services.shared.events import rfc3339
from services.users.core.conditions import AnyCondition
from services.users.core.crossings import CrossingUp
from services.users.core.extremes import NewHigh
from services.users.core.levels import GreaterThan
from services.users.core.preview import PastBar, Preview, Price, in_old_shares, preview, records_of, ticks_of
from services.users.core.rules import Rule
from services.users.core.stale import Stale
from services.users.core.volume import VolumeAbove
from tests.unit.users.ticks import START, at


def day(number: int, open_: float, close: float, *, volume: float = 100.0, shares: float = 1.0) -> PastBar:
    begin = START + timedelta(days=number)
    end = begin + timedelta(hours=6.5)
    high, low = max(open_, close) + 1, min(open_, close) - 1
    return PastBar(begin.date().isoformat(), rfc3339(begin), rfc3339(end), open_, high, low, close, volume, shares)


def of(*conditions: AnyCondition, trigger: str = "every_time") -> Rule:
    return Rule("rule", 1, "ada", "AAPL", conditions, trigger)  # type: ignore[arg-type]  # a word of Trigger


def fired(found: Preview) -> list[tuple[str, float, float | None]]:
    return [(firing.time, firing.price, firing.threshold) for firing in found.firings]


def test_open_and_close_of_each_day() -> None:
    bars = [day(0, 148, 149), day(1, 151, 148), day(2, 149.5, 150)]
    found = preview(of(CrossingUp(threshold=150.0)), records_of("AAPL", "1d", bars), "1d", 10)
    assert fired(found) == [(bars[1].start, 151, 150.0), (bars[2].end, 150, 150.0)]
    assert (found.prices, found.first, found.last, found.more) == (6, bars[0].start, bars[2].end, False)


def test_what_lies_between_open_and_close_is_not_made_up() -> None:
    bars = [day(0, 148, 148), day(1, 148, 149.5)]  # its high is 150.5
    assert bars[1].high > 150
    assert fired(preview(of(CrossingUp(threshold=150.0)), records_of("AAPL", "1d", bars), "1d", 10)) == []


def test_once_is_once() -> None:
    bars = [day(number, 149, 151) for number in range(5)]
    assert (
        len(preview(of(CrossingUp(threshold=150.0), trigger="once"), records_of("AAPL", "1d", bars), "1d", 9).firings)
        == 1
    )


def test_more_than_can_be_listed_is_said() -> None:
    bars = [day(number, 149, 151) for number in range(5)]
    found = preview(of(CrossingUp(threshold=150.0)), records_of("AAPL", "1d", bars), "1d", 3)
    assert (len(found.firings), found.more) == (3, True)
    found = preview(of(CrossingUp(threshold=150.0)), records_of("AAPL", "1d", bars), "1d", 5)
    assert (len(found.firings), found.more) == (5, False)


def test_a_threshold_in_todays_shares_is_met_at_yesterdays_prices() -> None:
    bars = [day(0, 590, 598, shares=4.0), day(1, 598, 601, shares=4.0), day(2, 150.5, 149), day(3, 149, 151)]
    rule = in_old_shares(of(CrossingUp(threshold=150.0)), bars)
    found = preview(rule, records_of("AAPL", "1d", bars), "1d", 10)
    assert fired(found) == [(bars[1].end, 601, 600.0), (bars[3].end, 151, 150.0)]


def test_looking_back_needs_as_many_days() -> None:
    bars = [day(0, 100, 100), day(1, 100, 100), day(2, 103, 102), day(3, 105, 105)]
    found = preview(of(NewHigh(days=2)), records_of("AAPL", "1d", bars), "1d", 10)
    assert fired(found)[0] == (bars[2].start, 103, 101)


def test_volumes_come_with_the_final_bar() -> None:
    bars = [day(0, 100, 100), day(1, 100, 100, volume=120), day(2, 100, 101, volume=221)]
    found = preview(of(VolumeAbove(times=2.0, bars=2)), records_of("AAPL", "1d", bars), "1d", 10)
    assert [firing.time for firing in found.firings] == [bars[2].end]


def test_prices_of_ones_own() -> None:
    prices = [Price(at(0), 149.0), Price(at(1), 151.0), Price(at(2), 151.0)]
    found = preview(of(GreaterThan(threshold=150.0)), ticks_of("AAPL", prices), "1d", 10)
    assert fired(found) == [(at(1), 151.0, 150.0)]
    assert preview(of(GreaterThan(threshold=150.0)), ticks_of("AAPL", []), "1d", 10) == Preview([], False, 0, "", "")


@pytest.mark.parametrize(("second", "count"), [(299, 0), (400, 1)])
def test_a_silence_is_told_when_the_next_price_comes(second: int, count: int) -> None:
    prices = [Price(at(0), 149.0), Price(at(second), 151.0)]
    assert len(preview(of(Stale(after_s=300)), ticks_of("AAPL", prices), "1d", 10).firings) == count
