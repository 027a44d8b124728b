"""What waits for a slow reader: bounded, in order, the newest always last, and every merged record counted."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.core.outbox import MOST_FACTS, ExtendedOutbox, Outbox, PlainOutbox, Waiting
from services.gateway.core.wire import Update, read_update
from tests.unit.gateway.frames import bar, signal, split, tick


def _put(outbox: Outbox, value: bytes, *, snapshot: bool = False) -> None:
    update = read_update(value)
    assert update is not None
    outbox.put(Waiting(update, snapshot=snapshot))


def _taken(outbox: Outbox) -> list[Waiting]:
    return [outbox.take() for _ in range(len(outbox))]


def _told(outbox: Outbox) -> list[tuple[str, int, int]]:
    return [(each.update.kind, each.update.seq, each.conflated) for each in _taken(outbox)]


@settings(deadline=None, max_examples=200)
@given(steps=st.lists(st.sampled_from(["A", "B", "C", "take", "take"]), max_size=80))
def test_plain_each_symbol_leaves_in_order_and_ends_with_its_newest(steps: list[str]) -> None:
    outbox, put = PlainOutbox(), 0
    taken: list[Update] = []
    newest: dict[str, int] = {}
    for step in steps:
        if step != "take":
            put += 1
            newest[step] = put
            _put(outbox, tick(step, put))
        elif len(outbox):
            taken.append(outbox.take().update)
        assert len(outbox) <= 3
    taken += [each.update for each in _taken(outbox)]
    for symbol, last in newest.items():
        seqs = [update.seq for update in taken if update.symbol == symbol]
        assert seqs == sorted(set(seqs))
        assert seqs[-1] == last
    assert len(taken) + outbox.merged == put


def test_plain_price_and_prediction_of_a_symbol_both_stay() -> None:
    outbox = PlainOutbox()
    for value in (tick(seq=1), signal(seq=1), tick(seq=2), signal(seq=2)):
        _put(outbox, value)
    assert [kind for kind, _, _ in _told(outbox)] == ["price", "prediction"]
    assert outbox.merged == 2


def test_extended_what_is_merged_is_counted_in_what_follows() -> None:
    outbox = ExtendedOutbox()
    for value in (tick(seq=1), bar(seq=2), tick(seq=3), split(seq=4), tick(seq=5), tick(seq=6), bar(seq=7)):
        _put(outbox, value)
    assert _told(outbox) == [("bar", 2, 1), ("split", 4, 1), ("price", 6, 1), ("bar", 7, 0)]
    assert outbox.merged == 3


def test_extended_predictions_are_never_merged_and_count_nothing() -> None:
    outbox = ExtendedOutbox()
    for value in (tick(seq=1), signal(seq=1), tick(seq=2), signal(seq=2, prev_seq=1)):
        _put(outbox, value)
    assert _told(outbox) == [("prediction", 1, 0), ("price", 2, 1), ("prediction", 2, 0)]


def test_extended_what_takes_the_place_of_a_snapshot_is_one() -> None:
    outbox = ExtendedOutbox()
    _put(outbox, tick(seq=1), snapshot=True)
    _put(outbox, tick(seq=2))
    (told,) = _taken(outbox)
    assert (told.update.seq, told.snapshot) == (2, True)


def test_extended_too_many_facts_overflow_and_nothing_more_is_kept() -> None:
    outbox = ExtendedOutbox()
    for seq in range(1, MOST_FACTS + 1):
        _put(outbox, signal(seq=seq, prev_seq=seq - 1))
    over = [outbox.overflowed]
    _put(outbox, split(seq=1))
    over.append(outbox.overflowed)
    assert over == [False, True]
    size = len(outbox)
    _put(outbox, tick(seq=2))
    assert len(outbox) == size


def test_what_is_dropped_is_gone_and_counts_no_more() -> None:
    for outbox in (PlainOutbox(), ExtendedOutbox()):
        for value in (tick("A", 1), signal("A", 1), tick("B", 1)):
            _put(outbox, value)
        outbox.drop("A")
        outbox.drop("C")
        assert [each.update.symbol for each in _taken(outbox)] == ["B"]
        assert len(outbox) == 0
