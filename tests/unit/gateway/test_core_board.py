"""What is known of each symbol, and what is news."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.board import Board
from services.gateway.core.wire import Update, read_update
from tests.unit.gateway.frames import bar, signal, tick


def _update(value: bytes) -> Update:
    update = read_update(value)
    assert update is not None
    return update


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=40))
def test_only_what_is_further_than_everything_before_is_news(positions: list[tuple[int, int]]) -> None:
    board = Board()
    furthest = (-1, 0)
    for epoch, seq in positions:
        news = board.advance(_update(tick(seq=seq, epoch=f"e{epoch}")))
        assert news is ((epoch, seq) > furthest)
        furthest = max(furthest, (epoch, seq))


def test_prices_and_predictions_advance_apart() -> None:
    board = Board()
    assert board.advance(_update(tick(seq=9)))
    assert board.advance(_update(signal(seq=3)))
    assert not board.advance(_update(signal(seq=3)))
    assert [update.kind for update in board.of("AAPL").snapshot()] == ["price", "prediction"]


def test_everything_comes_by_symbol() -> None:
    board = Board()
    for value in (signal("MSFT"), tick("IBM"), tick("AAPL"), signal("AAPL", 2), tick("AAPL", 5)):
        board.advance(_update(value))
    assert board.symbols() == ["AAPL", "IBM", "MSFT"]
    assert board.of("TSLA").snapshot() == []
    assert board.symbols() == ["AAPL", "IBM", "MSFT"]


def test_what_a_backend_remembers_never_overtakes_what_came_live() -> None:
    board = Board()
    assert board.learn(_update(tick("IBM", 4)))
    board.advance(_update(tick("AAPL", 3)))
    assert not board.learn(_update(tick("AAPL", 5)))  # 4 is on its way
    assert board.advance(_update(tick("AAPL", 4)))
    assert not board.advance(_update(tick("IBM", 4)))
    assert board.advance(_update(tick("IBM", 5)))


def test_a_price_may_be_remembered_behind_bars_that_came_first() -> None:
    board = Board()
    board.advance(_update(bar("IBM", 7)))
    assert board.learn(_update(tick("IBM", 6)))
    assert [(update.kind, update.seq) for update in board.of("IBM").snapshot()] == [("price", 6), ("bar", 7)]
    assert not board.advance(_update(bar("IBM", 7)))
    assert board.advance(_update(tick("IBM", 8)))
