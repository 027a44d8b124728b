"""What notifications say and how they are known."""

import pytest

from services.shared.events import NOTIFICATION_PLAIN_END, encode
from services.users.core import wording
from services.users.core.conditions import KINDS
from services.users.core.journal import Firing, Rescaled
from services.users.core.rules import Rule
from tests.unit.users.ticks import at


def firing(kind: str = "crossing_up", *, version: int = 1, seq: int = 7, message: str | None = None) -> Firing:
    condition = KINDS[kind](150.0)
    rule = Rule("rule-1", version, "user-1", "AAPL", (condition,), message=message)
    return Firing(rule, condition, 151.75, 149.0, "epoch-1", seq, at(0), 150.0)


@pytest.mark.parametrize(
    ("price", "text"),
    [(150.0, "150.00"), (0.5, "0.50"), (151.125, "151.125"), (1e-05, "0.00001"), (123456789.0, "123456789.00")],
)
def test_money(price: float, text: str) -> None:
    assert wording.money(price) == text


@pytest.mark.parametrize("kind", KINDS)
def test_every_condition_has_words(kind: str) -> None:
    text = wording.message(firing(kind))
    assert text.startswith("AAPL ")
    assert "150.00" in text
    assert text.endswith("now 151.75")


def test_a_rules_own_text_stands_as_it_is() -> None:
    assert wording.message(firing(message="{price} sell & run")) == "{price} sell & run"


def test_the_public_part_is_the_contracts() -> None:
    event = encode(wording.triggered(firing()))
    told = wording.triggered(firing())
    assert event[: event.index(NOTIFICATION_PLAIN_END)] + b"}" == (
        b'{"type":"alert_triggered","id":"' + told.id.encode() + b'","alert_id":"rule-1","symbol":"AAPL",'
        b'"condition":"crossing_up","threshold":150.0,"price":151.75,'
        b'"message":"AAPL crossed up through 150.00: now 151.75","timestamp":"2024-09-20T13:30:00Z"}'
    )
    assert (told.user_id, told.epoch, told.seq, told.previous_price) == ("user-1", "epoch-1", 7, 149.0)


def test_the_same_cause_has_the_same_id() -> None:
    ids = [wording.triggered(each).id for each in (firing(), firing(), firing(version=2), firing(seq=8))]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_split_is_told_with_an_id_of_its_own() -> None:
    told = wording.rescaled(Rescaled("user-1", "AAPL", "epoch-1", 9, at(0)))
    assert (told.event, told.user_id, told.timestamp) == ("alert_rescaled", "user-1", "2024-09-20T13:30:00Z")
    assert told.id != wording.rescaled(Rescaled("user-1", "AAPL", "epoch-1", 10, at(0))).id
