from services.shared.events import Split, Tick
from services.stock_data.core import instants
from services.stock_data.core.market import Market, Told


def tick(symbol: str, price: float, time: str) -> Tick:
    return Tick(symbol=symbol, price=price, timestamp=time, epoch="e", seq=1, time=time)


def test_the_last_price_of_each_symbol_and_the_clock() -> None:
    told = Told()
    told.add(tick("A", 1.0, "2024-01-02T14:30:00.000000Z"))
    told.add(tick("A", 2.0, "2024-01-02T14:30:01.000000Z"))
    told.add(Split(symbol="A", ratio=2.0, effective="x", epoch="e", seq=3, time="2024-01-03T05:00:00.000000Z"))
    assert {symbol: last.price for symbol, last in told.latest.items()} == {"A": 2.0}
    assert told.clock == "2024-01-03T05:00:00.000000Z"


def test_what_is_known_is_what_ended_at_the_clock_or_before() -> None:
    market = Market("replay")
    market.begin("e", 1_000, Told())
    assert market.known_before == 1_001
    market.told.add(tick("A", 1.0, "2024-01-02T14:30:00.000000Z"))
    assert market.known_before == instants.parse("2024-01-02T14:30:00Z") + 1


def test_a_new_run_forgets_the_end_of_the_last() -> None:
    market = Market("replay", finished=True)
    told = Told(clock="2024-01-02T14:30:00.000000Z")
    market.begin("f", 5, told)
    assert (market.epoch, market.started, market.told, market.finished) == ("f", 5, told, False)
