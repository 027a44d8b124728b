from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.stock_data.core.ticks import MAX_PRICE, Gate, Limits, Quote, Refusal

T = 1_400_000_000_000_000


def quote(price: float = 100.0, time: int = T, **more: object) -> Quote:
    return Quote(**{"symbol": "AAPL", "price": price, "time": time, **more})  # type: ignore[arg-type]


def test_a_good_quote_passes_unchanged_and_a_symbol_is_put_right() -> None:
    gate = Gate()
    assert gate.judge(quote(volume=3.0)) == quote(volume=3.0)
    assert gate.judge(quote(symbol=" aapl ")) == quote()
    assert not gate.refused


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"price": nan}, Refusal.NOT_FINITE),
        ({"price": -inf}, Refusal.NOT_FINITE),
        ({"price": 0.0}, Refusal.NOT_POSITIVE),
        ({"price": -1.0}, Refusal.NOT_POSITIVE),
        ({"price": MAX_PRICE}, Refusal.ABSURD),
        ({"price": 2_001.0}, Refusal.ABSURD),
        ({"price": 4.9}, Refusal.ABSURD),
        ({"volume": -1.0}, Refusal.BAD_VOLUME),
        ({"volume": nan}, Refusal.BAD_VOLUME),
        ({"symbol": "=AAPL"}, Refusal.BAD_SYMBOL),
        ({"symbol": ""}, Refusal.BAD_SYMBOL),
        ({"time": T - 1}, Refusal.LATE),
        ({"time": 10**18}, Refusal.BAD_TIME),
        ({"trade_id": "7"}, Refusal.DUPLICATE),
    ],
)
def test_refused_with_a_word_and_counted(bad: dict[str, object], reason: Refusal) -> None:
    gate = Gate()
    gate.judge(quote(trade_id="7"))
    assert gate.judge(quote(**bad)) is reason  # type: ignore[arg-type]
    assert gate.refused == {reason: 1}


def test_late_is_judged_for_each_symbol_and_equal_times_pass() -> None:
    gate = Gate()
    gate.judge(quote())
    assert gate.judge(quote(symbol="MSFT", time=T - 1)) == quote(symbol="MSFT", time=T - 1)
    assert gate.judge(quote()) == quote()


def test_a_refused_quote_leaves_no_trace() -> None:
    gate = Gate()
    gate.judge(quote(time=T))
    gate.judge(quote(price=-1.0, time=T + 100, trade_id="9"))
    assert gate.judge(quote(time=T + 1, trade_id="9")) == quote(time=T + 1, trade_id="9")


def test_a_jump_is_real_once_enough_quotes_agree_on_it() -> None:
    gate = Gate(Limits(max_jump=10.0, confirmed_by=3))
    gate.judge(quote(1.0))
    outcomes = [gate.judge(quote(price)) for price in (50.0, 51.0, 49.0, 50.0)]
    assert outcomes == [Refusal.ABSURD, Refusal.ABSURD, quote(49.0), quote(50.0)]


def test_scattered_jumps_confirm_nothing() -> None:
    gate = Gate(Limits(max_jump=10.0, confirmed_by=2))
    gate.judge(quote(1.0))
    assert [gate.judge(quote(price)) for price in (20.0, 90.0, 1.1, 20.0)] == [
        Refusal.ABSURD, Refusal.ABSURD, quote(1.1), Refusal.ABSURD,
    ]  # fmt: skip


def test_any_jump_passes_where_rows_were_checked_already() -> None:
    gate = Gate(Limits(max_jump=None))
    gate.judge(quote(1.0))
    assert gate.judge(quote(5_000.0)) == quote(5_000.0)


def test_trade_ids_are_forgotten_in_the_end() -> None:
    gate = Gate(Limits(remembered_trades=2))
    for trade_id in ("1", "2", "3"):
        gate.judge(quote(trade_id=trade_id))
    assert gate.judge(quote(trade_id="3")) is Refusal.DUPLICATE
    assert gate.judge(quote(trade_id="1")) == quote(trade_id="1")


ANY_QUOTES = st.lists(
    st.builds(
        Quote,
        st.sampled_from(["AAPL", "aapl", "MSFT", "?", ""]),
        st.floats(),
        st.integers(T - 5, T + 5),
        st.none() | st.floats(),
        st.none() | st.sampled_from(["1", "2"]),
    ),
    max_size=40,
)


@given(ANY_QUOTES)
@settings(deadline=None, max_examples=60)
def test_whatever_comes_what_passes_is_sound(quotes: list[Quote]) -> None:
    gate = Gate()
    verdicts = [gate.judge(each) for each in quotes]
    passed = [each for each in verdicts if isinstance(each, Quote)]
    assert len(passed) + gate.refused.total() == len(quotes)
    for symbol in ("AAPL", "MSFT"):
        own = [each for each in passed if each.symbol == symbol]
        ids = [each.trade_id for each in own if each.trade_id]
        assert [each.time for each in own] == sorted(each.time for each in own)
        assert len(ids) == len(set(ids))
    assert all(0 < each.price < MAX_PRICE and (each.volume is None or each.volume >= 0) for each in passed)
