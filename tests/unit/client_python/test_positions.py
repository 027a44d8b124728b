"""Nothing twice, everything in order, nothing missing without a word."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.client_python.double import prediction, price
from tickroom_client import Gap, Message, Prediction, Price
from tickroom_client.messages import read
from tickroom_client.positions import Ledger


def _price(seq: int, **more: Any) -> Price:
    found = read(price(seq, **more))
    assert isinstance(found, Price)
    return found


def _prediction(seq: int, prev_seq: int, **more: Any) -> Prediction:
    found = read(prediction(seq, prev_seq, **more))
    assert isinstance(found, Prediction)
    return found


def _shape(messages: list[Message]) -> list[Any]:
    return [("gap", each.kind, each.after_seq) if isinstance(each, Gap) else _seq(each) for each in messages]


def _seq(message: Message) -> int:
    assert isinstance(message, Price | Prediction)
    return message.seq


def _admitted(ledger: Ledger, *messages: Price | Prediction) -> list[Any]:
    return [each for message in messages for each in _shape(ledger.admit(message))]


def test_neighbours_repeats_and_gaps() -> None:
    ledger = Ledger()
    assert _admitted(ledger, _price(5), _price(6), _price(6), _price(4), _price(9)) == [
        5,
        6,
        ("gap", "records", 6),
        9,
    ]


def test_what_was_merged_is_not_missing() -> None:
    ledger = Ledger()
    assert _admitted(ledger, _price(5), _price(9, conflated=3), _price(12, conflated=1)) == [
        5,
        9,
        ("gap", "records", 9),
        12,
    ]


def test_a_prediction_names_the_one_before() -> None:
    ledger = Ledger()
    told: list[Price | Prediction] = [_prediction(5, 2), _prediction(9, 5), _prediction(9, 5), _prediction(20, 12)]
    assert _admitted(ledger, *told) == [5, 9, ("gap", "predictions", 9), 20]


def test_symbols_and_kinds_count_for_themselves() -> None:
    ledger = Ledger()
    told: list[Price | Prediction] = [
        _price(5),
        _prediction(5, 0),
        _price(1, symbol="IBM"),
        _price(6),
        _price(2, symbol="IBM"),
    ]
    assert _admitted(ledger, *told) == [5, 5, 1, 6, 2]


def test_a_new_epoch_begins_with_its_first_record() -> None:
    ledger = Ledger()
    assert _admitted(ledger, _price(5), _price(1, epoch="e2"), _price(6), _price(2, epoch="e2")) == [5, 1, 2]
    assert _admitted(ledger, _price(2, epoch="e3", conflated=1)) == [2]
    assert _admitted(ledger, _price(3, epoch="e4")) == [("gap", "records", 2), 3]
    assert _admitted(ledger, _prediction(5, 0), _prediction(3, 0, epoch="e2"), _prediction(9, 5, epoch="e3")) == [
        5,
        3,
        ("gap", "predictions", 3),
        9,
    ]


def test_what_could_not_be_proven_is_said_once() -> None:
    ledger = Ledger()
    _admitted(ledger, _price(5), _prediction(5, 0))
    gap = ledger.lose("AAPL")
    assert (gap.kind, gap.reason, gap.epoch, gap.after_seq) == (None, "not_recovered", "e1", 5)
    assert _admitted(ledger, _price(40, snapshot=True), _prediction(30, 20, snapshot=True)) == [40, 30]
    assert _admitted(ledger, _price(42)) == [("gap", "records", 40), 42]


def test_a_snapshot_that_is_no_news_says_where_the_server_stands() -> None:
    ledger = Ledger()
    _admitted(ledger, _price(5))
    ledger.lose("AAPL")
    assert _admitted(ledger, _price(3, snapshot=True), _price(4), _price(5), _price(7)) == [("gap", "records", 5), 7]


def test_a_snapshot_that_was_asked_for_need_not_join() -> None:
    ledger = Ledger()
    _admitted(ledger, _price(5))
    ledger.rejoin("AAPL")
    assert _admitted(ledger, _price(9, snapshot=True), _price(10)) == [9, 10]


def test_positions_to_resume_from() -> None:
    ledger = Ledger()
    assert ledger.position("AAPL") is None
    _admitted(ledger, _prediction(3, 0))
    assert ledger.position("AAPL") is None
    _admitted(ledger, _price(5))
    assert ledger.position("AAPL") == {"epoch": "e1", "price": 5, "prediction": 3}
    _admitted(ledger, _price(1, epoch="e2"))
    assert ledger.position("AAPL") == {"epoch": "e2", "price": 1, "prediction": 0}
    ledger.forget("AAPL")
    assert ledger.position("AAPL") is None


def test_a_first_prediction_after_a_proof_is_the_first_one() -> None:
    ledger = Ledger()
    _admitted(ledger, _price(5))
    assert ledger.position("AAPL") == {"epoch": "e1", "price": 5, "prediction": 0}
    ledger.hold("AAPL")
    assert _admitted(ledger, _prediction(9, 7)) == [("gap", "predictions", None), 9]
    ledger = Ledger()
    _admitted(ledger, _price(5))
    ledger.hold("AAPL")
    assert _admitted(ledger, _prediction(9, 0)) == [9]


@given(st.integers(0, 1 << 32))
def test_a_gap_is_told_exactly_where_something_is_missing(seed: int) -> None:
    """Records are merged, lost and repeated by chance; what comes out adds up, or says that it does not."""
    chance = random.Random(seed)
    ledger = Ledger()
    sent: list[Price] = []
    last = whole_to = 1
    out = ledger.admit(_price(1))
    for seq in range(2, 60):
        fate = chance.choice(("send", "send", "merge", "lose", "repeat"))
        if fate == "repeat" and sent:
            assert ledger.admit(chance.choice(sent)) == []
        elif fate == "lose":
            whole_to = seq
        elif fate != "merge":
            lost = int(whole_to > last)
            sent.append(_price(seq, conflated=seq - last - 1 - lost))
            found = ledger.admit(sent[-1])
            assert [isinstance(each, Gap) for each in found] == [True, False][1 - lost :]
            out += found
            last = whole_to = seq
    seqs = [_seq(each) for each in out if not isinstance(each, Gap)]
    assert seqs == sorted(set(seqs))
