import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.shared.events import PLAIN_END, Tick, decode_record, encode, parse_time, rfc3339, seconds

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (bounds are naive)


def test_a_price_begins_with_the_plain_frame() -> None:
    time = rfc3339(datetime(2024, 9, 21, 14, 23, 0, 1234, tzinfo=UTC))
    tick = Tick(symbol="AAPL", price=151.75, timestamp=seconds(time), epoch="e", seq=7, time=time, source="replay")
    value = encode(tick)
    plain = value[: value.index(PLAIN_END)] + b"}"
    assert plain == (b'{"type":"stock_price_update","symbol":"AAPL","price":151.75,"timestamp":"2024-09-21T14:23:00Z"}')
    assert list(json.loads(value)) == [
        *("type", "symbol", "price", "timestamp", "epoch", "seq", "time", "volume", "source", "kind"),
    ]
    assert decode_record(value) == tick


def test_readers_ignore_keys_they_do_not_know() -> None:
    value = encode(Tick(symbol="A", price=1.0, timestamp="t", epoch="e", seq=1, time="t"))
    assert decode_record(value[:-1] + b',"new":{"a":1}}') == decode_record(value)


@given(INSTANTS, st.integers(0, 10**9))
def test_times_sort_as_text_and_come_back(when: datetime, later_us: int) -> None:
    first = when
    second = first + timedelta(microseconds=later_us)
    assert parse_time(rfc3339(first)) == first
    assert rfc3339(first) <= rfc3339(second)
    assert len(rfc3339(first)) == 27
