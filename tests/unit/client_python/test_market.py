"""The conversation about market data, without any connection."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.unit.client_python.double import prediction, price
from tickroom_client import Gap, Message, Prediction, Price, Problem
from tickroom_client.market import MarketTalk
from tickroom_client.talk import Again


def _all_said(talk: MarketTalk) -> list[Mapping[str, Any]]:
    said: list[Mapping[str, Any]] = []
    while talk.due:
        if (frame := talk.say()) is not None:
            said.append(frame)
    return said


def _named(frame: Mapping[str, Any]) -> tuple[str, Any]:
    return frame["type"], frame.get("symbols", frame.get("positions", frame.get("max_per_second")))


def _subscribed(frame: Mapping[str, Any], *symbols: str) -> dict[str, Any]:
    return {"type": "subscribed", "id": frame["id"], "symbols": list(symbols)}


def _refused(frame: Mapping[str, Any], code: str = "unknown_symbol", *, retryable: bool = False) -> dict[str, Any]:
    return {"type": "error", "id": frame["id"], "code": code, "message": "no", "retryable": retryable}


def _heard(talk: MarketTalk, *frames: Mapping[str, Any]) -> list[Message]:
    return [message for frame in frames for message in talk.hear(frame)]


def _seqs(messages: Iterable[Message]) -> list[Any]:
    return [each.seq if isinstance(each, Price | Prediction) else type(each) for each in messages]


def _settled(*symbols: str) -> MarketTalk:
    """A conversation past its beginning."""
    talk = MarketTalk(symbols)
    for frame in _all_said(talk):
        if frame["type"] == "subscribe":
            _heard(talk, _subscribed(frame, *symbols))
    _all_said(talk)
    return talk


def test_the_list_comes_first_then_the_positions() -> None:
    talk = MarketTalk(["aapl ", "MSFT", "AAPL"])
    (listing,) = _all_said(talk)
    assert _named(listing) == ("subscribe", ["AAPL", "MSFT"])
    assert _heard(talk, _subscribed(listing, "AAPL", "MSFT")) == []
    assert [_named(each) for each in _all_said(talk)] == [("resume", {})]
    assert _seqs(_heard(talk, price(5), price(6), price(6))) == [5, 6]


def test_everything_needs_no_list() -> None:
    talk = MarketTalk()
    assert [_named(each) for each in _all_said(talk)] == [("resume", {})]
    assert _seqs(_heard(talk, price(5), price(1, "IBM"))) == [5, 1]


def test_a_new_connection_goes_on_where_the_last_one_ended() -> None:
    talk = _settled("AAPL", "MSFT")
    _heard(talk, price(5), prediction(5, 0))
    talk.begin()
    (listing,) = _all_said(talk)
    _heard(talk, _subscribed(listing, "AAPL", "MSFT"))
    assert [_named(each) for each in _all_said(talk)] == [
        ("resume", {"AAPL": {"epoch": "e1", "price": 5, "prediction": 5}})
    ]
    resumed = {"type": "resumed", "symbol": "AAPL", "recovered": True, "replayed": 2}
    assert _seqs(_heard(talk, price(9), resumed, price(6), price(7))) == [6, 7]


def test_what_can_not_be_proven_whole_is_a_gap() -> None:
    talk = _settled("AAPL")
    _heard(talk, price(5))
    talk.begin()
    (listing,) = _all_said(talk)
    _heard(talk, _subscribed(listing, "AAPL"))
    _all_said(talk)
    resumed = {"type": "resumed", "symbol": "AAPL", "recovered": False}
    heard = _heard(talk, resumed, price(90, snapshot=True), price(91))
    assert heard[0] == Gap(symbol="AAPL", kind=None, reason="not_recovered", epoch="e1", after_seq=5)
    assert _seqs(heard) == [Gap, 90, 91]


def test_many_positions_are_told_in_portions_and_nothing_is_handed_on_out_of_order() -> None:
    symbols = [f"S{number}" for number in range(1001)]
    talk = _settled()
    for symbol in symbols:
        _heard(talk, price(1, symbol))
    talk.begin()
    said = [list(each["positions"]) for each in _all_said(talk)]
    assert [len(each) for each in said] == [500, 500, 1]
    assert [each for portion in said for each in portion] == symbols
    late = symbols[-1]
    resumed = {"type": "resumed", "symbol": late, "recovered": True, "replayed": 1}
    assert _seqs(_heard(talk, price(3, late, snapshot=True), resumed, price(2, late), price(3, late))) == [2, 3]


def test_the_list_changes_while_it_runs() -> None:
    talk = _settled("AAPL")
    _heard(talk, price(5))
    talk.subscribe(["msft"])
    talk.unsubscribe(["aapl"])
    assert talk.due
    assert _seqs(_heard(talk, price(6))) == []  # on its way while nobody wants it any more
    (first,) = _all_said(talk)
    assert _named(first) == ("unsubscribe", ["AAPL"])
    _heard(talk, _subscribed(first))
    (second,) = _all_said(talk)
    assert _named(second) == ("subscribe", ["MSFT"])
    assert _seqs(_heard(talk, _subscribed(second, "MSFT"), price(3, "MSFT", snapshot=True), price(4, "MSFT"))) == [3, 4]
    talk.begin()
    (listing,) = _all_said(talk)
    assert _named(listing) == ("subscribe", ["MSFT"])
    _heard(talk, _subscribed(listing, "MSFT"))
    assert [list(each["positions"]) for each in _all_said(talk)] == [["MSFT"]]


def test_a_symbol_that_comes_back_begins_with_a_snapshot() -> None:
    talk = _settled("AAPL", "IBM")
    _heard(talk, price(5))
    talk.unsubscribe(["AAPL"])
    (gone,) = _all_said(talk)
    talk.subscribe(["AAPL"])
    assert _all_said(talk) == []  # one change at a time
    assert _seqs(_heard(talk, price(6), _subscribed(gone, "IBM"))) == []
    (back,) = _all_said(talk)
    assert _named(back) == ("subscribe", ["AAPL"])
    told = [_subscribed(back, "IBM", "AAPL"), price(20, snapshot=True), price(21)]
    assert _seqs(_heard(talk, *told)) == [20, 21]


def test_a_symbol_that_comes_back_before_anybody_was_told() -> None:
    talk = _settled("AAPL")
    _heard(talk, price(5))
    talk.unsubscribe(["AAPL"])
    assert _seqs(_heard(talk, price(6))) == []
    talk.subscribe(["AAPL"])
    assert _all_said(talk) == []
    assert _seqs(_heard(talk, price(7), price(8))) == [7, 8]


def test_from_everything_to_a_list() -> None:
    talk = _settled()
    _heard(talk, price(5), price(7, "IBM"))
    with pytest.raises(ValueError, match="everything"):
        talk.unsubscribe(["AAPL"])
    talk.subscribe(["AAPL"])
    (listing,) = _all_said(talk)
    told = [price(6), _subscribed(listing, "AAPL"), price(8, snapshot=True), price(9)]
    assert _seqs(_heard(talk, *told)) == [6, 8, 9]


def test_an_empty_list_is_not_everything() -> None:
    talk = _settled("AAPL")
    talk.unsubscribe(["AAPL"])
    (gone,) = _all_said(talk)
    _heard(talk, _subscribed(gone))
    talk.begin()
    (listing,) = _all_said(talk)
    assert _named(listing) == ("subscribe", [])
    _heard(talk, _subscribed(listing))
    assert [_named(each) for each in _all_said(talk)] == [("resume", {})]


def test_one_bad_symbol_does_not_spoil_the_list() -> None:
    symbols = [f"S{number}" for number in range(7)]
    talk = MarketTalk([*symbols, "NOPE"])
    listed: list[str] = []
    problems: list[Message] = []
    said = _all_said(talk)
    asked = 0
    while said[0]["type"] == "subscribe":
        asked += 1
        (frame,) = said
        if "NOPE" in frame["symbols"]:
            problems += _heard(talk, _refused(frame))
        else:
            listed += frame["symbols"]
            problems += _heard(talk, _subscribed(frame, *listed))
        said = _all_said(talk)
    assert sorted(listed) == symbols
    assert problems == [Problem(code="unknown_symbol", message="no", symbols=("NOPE",))]
    assert asked == 7
    talk.begin()
    assert _named(_all_said(talk)[0]) == ("subscribe", symbols)


def test_a_list_without_a_good_symbol_is_empty() -> None:
    talk = MarketTalk(["NOPE"])
    (listing,) = _all_said(talk)
    _heard(talk, _refused(listing))
    (again,) = _all_said(talk)
    assert _named(again) == ("subscribe", [])
    _heard(talk, _subscribed(again))
    assert [_named(each) for each in _all_said(talk)] == [("resume", {})]


def test_what_may_work_later_is_a_reason_to_come_back() -> None:
    talk = MarketTalk(["AAPL"])
    (listing,) = _all_said(talk)
    with pytest.raises(Again):
        _heard(talk, _refused(listing, "unavailable", retryable=True))


def test_positions_that_are_refused_are_gaps() -> None:
    talk = _settled()
    _heard(talk, price(5), price(1, "GONE"))
    talk.begin()
    (resume,) = _all_said(talk)
    heard = _heard(talk, _refused(resume))
    assert [(each.symbol, each.reason) for each in heard if isinstance(each, Gap)] == [
        ("AAPL", "not_recovered"),
        ("GONE", "not_recovered"),
    ]
    assert [_named(each) for each in _all_said(talk)] == [("resume", {})]
    assert _seqs(_heard(talk, price(70, snapshot=True), price(71))) == [70, 71]
    talk.begin()
    (resume,) = _all_said(talk)
    with pytest.raises(Again):
        _heard(talk, _refused(resume, retryable=True))


def test_the_rate_is_told_again_on_every_connection() -> None:
    talk = _settled("AAPL")
    talk.set_rate(2)
    talk.set_rate(3)
    assert [_named(each) for each in _all_said(talk)] == [("set_rate", 3)]
    assert _heard(talk, {"type": "rate_set", "max_per_second": 3}) == []
    talk.begin()
    assert [_named(each) for each in _all_said(talk)] == [("set_rate", 3), ("subscribe", ["AAPL"])]


def test_other_problems_are_told_and_strange_frames_are_not() -> None:
    talk = _settled("AAPL")
    told = {"type": "error", "code": "bad_message", "message": "what?", "retryable": False}
    assert _heard(talk, told) == [Problem(code="bad_message", message="what?")]
    assert _heard(talk, {"type": "weather"}, {"type": "pong"}, {"type": "authenticated"}) == []
