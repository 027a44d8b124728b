"""What waits for a slow reader: bounded, in order, and the newest always last."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.outbox import Outbox
from services.gateway.core.wire import Update


def _update(symbol: str, seq: int) -> Update:
    return Update("price", symbol, b"e", seq, b"x" * 10)


@settings(deadline=None, max_examples=200)
@given(
    keep=st.sampled_from([0, 1, 3, 100]),
    steps=st.lists(st.sampled_from(["A", "B", "C", "take", "take"]), max_size=80),
)
def test_each_symbol_leaves_in_order_and_ends_with_its_newest(keep: int, steps: list[str]) -> None:
    outbox, put, taken = Outbox(keep), 0, []
    newest: dict[str, int] = {}
    for step in steps:
        if step == "take":
            taken += outbox.take(25)
        else:
            put += 1
            newest[step] = put
            outbox.put(_update(step, put))
        assert len(outbox) <= keep + 3
    while outbox:
        taken += outbox.take(1)
    for symbol, last in newest.items():
        seqs = [update.seq for update in taken if update.symbol == symbol]
        assert seqs == sorted(set(seqs))
        assert seqs[-1] == last
    assert len(taken) + outbox.merged == put


def test_up_to_keep_nothing_is_merged() -> None:
    outbox = Outbox(keep=3)
    for seq in (1, 2, 3):
        outbox.put(_update("A", seq))
    assert [update.seq for update in outbox.take(1000)] == [1, 2, 3]
    assert outbox.merged == 0


def test_price_and_prediction_of_a_symbol_both_stay() -> None:
    outbox = Outbox()
    outbox.put(_update("A", 1))
    outbox.put(Update("prediction", "A", b"e", 1, b"x"))
    outbox.put(_update("A", 2))
    assert [(update.kind, update.seq) for update in outbox.take(1000)] == [("price", 2), ("prediction", 1)]


def test_take_stops_at_the_asked_size_and_gives_at_least_one() -> None:
    outbox = Outbox()
    for symbol in "ABCDE":
        outbox.put(_update(symbol, 1))
    assert len(outbox.take(1)) == 1
    assert len(outbox.take(20)) == 2
    assert len(outbox.take(1000)) == 2
    assert outbox.take(1000) == []
