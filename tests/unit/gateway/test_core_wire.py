"""Bytes in, bytes out: every frame is what another implementation reads, every slice what JSON says."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode

from services.gateway.core.wire import Malformed, frame, read_notice, read_revocation, read_update
from services.shared.events import AccountUpdated, Bar, Correction, SessionRevoked, Split, encode
from tests.unit.gateway.frames import frames_of, notification, signal, tick

EDGES = [0, 1, 125, 126, 127, 65535, 65536, 70000]
BAR = Bar(
    symbol="AAPL",
    timeframe="1d",
    start="2024-09-20T13:30:00.000000Z",
    open=1.0,
    high=1.0,
    low=1.0,
    close=1.0,
    volume=1.0,
    final=True,
    epoch="e1",
    seq=3,
    time="2024-09-20T20:00:00.000000Z",
    date="2024-09-20",
)
SPLIT = Split(symbol="AAPL", ratio=2.0, effective="2024-09-20", epoch="e1", seq=1, time="2024-09-20T13:30:00.000000Z")
CORRECTION = Correction(symbol="AAPL", of_seq=1, price=None, epoch="e1", seq=2, time="2024-09-20T13:30:00.000000Z")


@pytest.mark.parametrize("size", EDGES)
def test_a_frame_of_every_kind_of_length_is_read_by_others(size: int) -> None:
    text = b"x" * size
    (read,) = frames_of(frame(text))
    assert (read.opcode, read.fin, read.data) == (Opcode.TEXT, True, text)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=200) | st.sampled_from(["y" * size for size in EDGES]), max_size=12))
def test_joined_frames_are_read_one_by_one(texts: list[str]) -> None:
    joined = b"".join(frame(text.encode()) for text in texts)
    assert [bytes(read.data).decode() for read in frames_of(joined)] == texts


@settings(deadline=None, max_examples=100)
@given(
    symbol=st.from_regex(r"[A-Z0-9][A-Z0-9.\-]{0,14}", fullmatch=True),
    seq=st.integers(1, 2**62),
    epoch=st.integers(0, 59),
    price=st.floats(1e-6, 1e9),
)
def test_a_price_is_sliced_to_exactly_the_public_keys(symbol: str, seq: int, epoch: int, price: float) -> None:
    value = tick(symbol, seq, f"e{epoch}", price)
    update = read_update(value)
    assert update is not None
    whole = json.loads(value)
    assert json.loads(update.text) == {key: whole[key] for key in ("type", "symbol", "price", "timestamp")}
    assert list(json.loads(update.text)) == ["type", "symbol", "price", "timestamp"]
    assert (update.kind, update.symbol, update.epoch.decode(), update.seq) == ("price", symbol, f"e{epoch}", seq)
    assert frames_of(update.frame(frame))[0].data == update.text


def test_a_prediction_is_sliced_likewise() -> None:
    update = read_update(signal("IBM", 7, "e2"))
    assert update is not None
    assert json.loads(update.text) == {
        "type": "prediction_update",
        "symbol": "IBM",
        "prediction": "buy",
        "timestamp": "2024-09-21T14:02:07Z",
    }
    assert (update.kind, update.symbol, update.epoch, update.seq) == ("prediction", "IBM", b"e2", 7)


@pytest.mark.parametrize(("record", "kind"), [(BAR, "bar"), (SPLIT, "split"), (CORRECTION, "correction")])
def test_bars_splits_and_corrections_are_for_extended_clients_alone(
    record: Bar | Split | Correction, kind: str
) -> None:
    update = read_update(encode(record))
    assert update is not None
    assert (update.kind, update.public, update.symbol, update.seq) == (kind, False, "AAPL", record.seq)
    whole = json.loads(encode(record)) | {"stale": False, "conflated": 0}
    assert json.loads(update.extended) == whole
    assert read_notice(encode(record)) is None


def test_the_extended_message_is_the_record_and_what_became_of_it() -> None:
    update = read_update(signal("IBM", 7, "e2", prev_seq=3))
    assert update is not None
    assert update.prev_seq == 3
    whole = json.loads(signal("IBM", 7, "e2", prev_seq=3))
    assert json.loads(update.extended) == whole | {"stale": False, "conflated": 0}
    told = json.loads(update.retold(conflated=2, snapshot=True, stale=True))
    assert told == whole | {"stale": True, "snapshot": True, "conflated": 2}


def test_the_end_of_a_login_is_told_apart_from_notifications() -> None:
    gone = SessionRevoked(id="1", user_id="u1", session_id="s1", version=0, timestamp="2024-09-21T14:23:00Z")
    assert read_revocation(encode(gone)) == gone
    assert read_notice(encode(gone)) is None
    assert read_revocation(notification()) is None
    with pytest.raises(Malformed):
        read_revocation(b'{"type":"session_revoked","id":7}')


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"no JSON", b"\xff" * 40, b'{"symbol":"AAPL","type":"stock_price_update"}']
)
def test_what_does_not_begin_like_ours_is_none_of_ours(value: bytes) -> None:
    assert read_update(value) is None
    assert read_notice(value) is None


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_record_cut_off_or_changed_anywhere_is_malformed_or_an_update_that_frames_well(data: st.DataObject) -> None:
    value = bytearray(data.draw(st.sampled_from([tick(seq=123), signal(seq=12)])))
    at = data.draw(st.integers(0, len(value) - 1))
    if data.draw(st.booleans()):
        value[at] = data.draw(st.integers(0, 255))
    else:
        del value[at:]
    try:
        update = read_update(bytes(value))
    except Malformed:
        return
    if update is not None:
        for text in (update.text, update.extended):
            (read,) = frames_of(frame(text))
            bytes(read.data).decode()


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=300))
def test_a_notification_is_sliced_whatever_its_message_says(message: str) -> None:
    value = notification(3, "u-7", message)
    notice = read_notice(value)
    assert notice is not None
    assert (notice.id, notice.user_id) == ("n3", "u-7")
    told = json.loads(notice.text)
    assert told["message"] == message
    assert list(told) == [
        *("type", "id", "alert_id", "symbol", "condition", "threshold", "price", "message", "timestamp"),
    ]


def test_a_message_that_looks_like_the_end_of_the_public_part_does_not_end_it() -> None:
    notice = read_notice(notification(message='","user_id":"somebody else'))
    assert notice is not None
    assert notice.user_id == "u1"


def test_an_account_update_is_a_notification() -> None:
    notice = read_notice(
        encode(AccountUpdated(id="n9", event="password_changed", timestamp="2024-09-21T14:23:00Z", user_id="u2"))
    )
    assert notice is not None
    assert json.loads(notice.text) == {
        "type": "account_update",
        "id": "n9",
        "event": "password_changed",
        "timestamp": "2024-09-21T14:23:00Z",
    }


@pytest.mark.parametrize(
    "value",
    [
        b'{"type":"alert_triggered","id":"n1"}',
        b'{"type":"alert_triggered","id":"n1","message":"\xff","user_id":"u1"}',
        b'{"type":"alert_triggered","id":"n1","user_id":"u1',
    ],
)
def test_a_broken_notification_is_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        read_notice(value)
