"""What notifications say and how they are known."""

import pytest

from services.shared.events import NOTIFICATION_PLAIN_END, encode
from services.users.core import wording
from services.users.core.channels import EnteringChannel, ExitingChannel
from services.users.core.conditions import KINDS, TYPES, AnyCondition
from services.users.core.extremes import NewHigh, NewLow
from services.users.core.journal import Firing, Rescaled
from services.users.core.moves import MovingDown, MovingUp
from services.users.core.rules import Rule
from services.users.core.signals import ConfidenceAbove, PredictionChanged
from services.users.core.stale import Stale
from services.users.core.volume import VolumeAbove
from tests.unit.users.ticks import at


def firing(
    kind: str = "crossing_up",
    *,
    version: int = 1,
    seq: int = 7,
    message: str | None = None,
    before: float | None = 149.0,
) -> Firing:
    condition = KINDS[kind](150.0)
    rule = Rule("rule-1", version, "user-1", "AAPL", (condition,), message=message)
    return Firing(rule, condition, 151.75, before, "epoch-1", seq, at(0), 150.0)


def told(condition: AnyCondition, threshold: float | None = None, text: str = "") -> str:
    rule = Rule("rule-1", 1, "user-1", "AAPL", (condition,))
    return wording.message(Firing(rule, condition, 151.75, 149.0, "epoch-1", 7, at(0), threshold, text))


@pytest.mark.parametrize(
    ("price", "text"),
    [(150.0, "150.00"), (0.5, "0.50"), (151.125, "151.125"), (1e-05, "0.00001"), (123456789.0, "123456789.00")],
)
def test_money(price: float, text: str) -> None:
    assert wording.money(price) == text


@pytest.mark.parametrize("kind", KINDS)
def test_lines_have_words(kind: str) -> None:
    text = wording.message(firing(kind))
    assert text.startswith("AAPL ")
    assert text.endswith(" 150.00: now 151.75")


def test_every_other_condition_has_words() -> None:
    found = {
        told(EnteringChannel(lower=150.0, upper=160.0), 150.0): "came into 150.00 to 160.00: now 151.75",
        told(ExitingChannel(lower=140.0, upper=150.0), 150.0): "left 140.00 to 150.00: now 151.75",
        told(MovingUp(window_s=300, amount=5.0), 5.0): "rose by at least 5.00 within 300 s: now 151.75",
        told(MovingDown(window_s=60, percent=2.5), 2.5): "fell by at least 2.5 % within 60 s: now 151.75",
        told(NewHigh(days=20), 151.5): "is above the high of 20 days, 151.50: now 151.75",
        told(NewLow(days=5), 152.0): "is below the low of 5 days, 152.00: now 151.75",
        told(VolumeAbove(times=2.0, bars=20), 2.0): (
            "traded more than 2 times the average volume of 20 bars: now 151.75"
        ),
        told(PredictionChanged(), text="buy"): "is predicted anew: buy",
        told(ConfidenceAbove(threshold=0.7), 0.7): "has a prediction with a confidence above 0.7",
        told(Stale(after_s=300), 300.0): "has had no price for 300 s: last 151.75",
    }
    assert list(found) == [f"AAPL {text}" for text in found.values()]
    assert len(found) + len(KINDS) == len(TYPES)


def test_a_rules_own_text_is_filled_in_once() -> None:
    text = "{symbol} {condition} {threshold}: {previous_price} -> {price} at {time}, {{sic}} & <b>"
    assert wording.message(firing(message=text)) == (
        "AAPL crossing up 150.00: 149.00 -> 151.75 at 2024-09-20T13:30:00Z, {sic} & <b>"
    )
    assert wording.message(firing(message="from {previous_price}", before=None)) == "from "


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
