"""The extended profile as a client finds it, on our own server and on one that takes no ready-made frames."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from services.gateway import conversation, market_rooms
from services.gateway.core.outbox import MOST_FACTS
from tests.unit.gateway.frames import bar, signal, split, tick
from tests.unit.gateway.serving import raw_client, until
from tests.unit.gateway.socket_house import House, closed, house, on_either_server, refused

ALL = "/websocket/stocks/all"
EXTENDED: dict[str, Any] = {"subprotocols": ["tickroom.v1"]}


class Ear:
    """Reads messages one by one, whether they come alone or in arrays."""

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self._read: list[dict[str, Any]] = []

    async def say(self, *frames: dict[str, Any]) -> None:
        for each in frames:
            await self._client.send(json.dumps(each))

    async def next(self, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(20):
            while len(self._read) < count:
                found = json.loads(await self._client.recv())
                self._read += found if isinstance(found, list) else [found]
        told, self._read = self._read[:count], self._read[count:]
        return told

    async def ask(self, **frame: Any) -> dict[str, Any]:
        await self.say(frame)
        (answer,) = await self.next()
        return answer


def told(messages: Sequence[dict[str, Any]]) -> list[tuple[str, str, int, bool]]:
    return [(each["type"], each["symbol"], each["seq"], each.get("snapshot", False)) for each in messages]


@on_either_server
@pytest.mark.parametrize("how", [EXTENDED, {}], ids=["subprotocol", "query"])
async def test_an_extended_room_shows_everything_with_its_position(how: dict[str, Any]) -> None:
    path = "/websocket/stock/AAPL" + ("" if how else "?profile=ext")
    async with house() as there:
        there.hall.deliver([tick(seq=1), bar(seq=2), signal(seq=2)])
        async with there.enter(path, **how) as client:
            assert client.subprotocol == ("tickroom.v1" if how else None)
            ear = Ear(client)
            first = await ear.next(3)
            assert told(first) == [
                ("stock_price_update", "AAPL", 1, True),
                ("bar", "AAPL", 2, True),
                ("prediction_update", "AAPL", 2, True),
            ]
            there.hall.deliver([split(seq=3), tick(seq=4), tick("IBM", 9)])
            assert told(await ear.next(2)) == [
                ("split", "AAPL", 3, False),
                ("stock_price_update", "AAPL", 4, False),
            ]
        assert first[0].keys() >= {"epoch", "seq", "time", "source", "stale", "snapshot", "conflated"}
        assert first[2].keys() >= {
            *("prev_seq", "confidence", "horizon", "price_target", "direction", "interval"),
            *("model_version", "skill", "valid_until", "reason"),
        }


@on_either_server
async def test_from_the_first_subscribe_on_exactly_the_list_is_heard() -> None:
    async with house() as there:
        there.hall.deliver([tick("AAPL", 1), tick("IBM", 1)])
        async with there.enter(ALL, **EXTENDED) as client:
            ear = Ear(client)
            assert told(await ear.next(2)) == [
                ("stock_price_update", "AAPL", 1, True),
                ("stock_price_update", "IBM", 1, True),
            ]
            answer = await ear.ask(type="subscribe", symbols=["ibm", "IBM"], id="1")
            assert answer == {"type": "subscribed", "id": "1", "symbols": ["IBM"]}
            assert told(await ear.next()) == [("stock_price_update", "IBM", 1, True)]
            there.hall.deliver([tick("AAPL", 2), tick("IBM", 2)])
            assert told(await ear.next()) == [("stock_price_update", "IBM", 2, False)]
            assert (await ear.ask(type="subscribe", symbols=["AAPL", "IBM"]))["symbols"] == ["IBM", "AAPL"]
            assert told(await ear.next()) == [("stock_price_update", "AAPL", 2, True)]
            assert (await ear.ask(type="unsubscribe", symbols=["IBM"], id="3")) == {
                "type": "subscribed",
                "id": "3",
                "symbols": ["AAPL"],
            }
            there.hall.deliver([tick("IBM", 3), tick("AAPL", 3)])
            assert told(await ear.next()) == [("stock_price_update", "AAPL", 3, False)]
        await until(lambda: len(there.hall.rooms) == 0)


@on_either_server
async def test_what_cant_be_followed_is_answered_and_changes_nothing() -> None:
    async with house(max_symbols_per_connection=1) as there, there.enter(ALL, **EXTENDED) as client:
        ear = Ear(client)
        for frame, code in (
            ({"type": "subscribe", "symbols": ["AAPL", "NOPE"], "id": "1"}, "unknown_symbol"),
            ({"type": "subscribe", "symbols": "AAPL", "id": "2"}, "bad_message"),
            ({"type": "unsubscribe", "symbols": ["AAPL"], "id": "3"}, "bad_message"),
            ({"type": "subscribe", "symbols": ["AAPL", "IBM"], "id": "4"}, "too_many_symbols"),
            ({"type": "resume", "positions": {"AAPL": {"price": 1}}, "id": "5"}, "bad_message"),
            ({"type": "resume", "positions": {"NOPE": {"epoch": "e1", "price": 1}}, "id": "6"}, "unknown_symbol"),
            ({"type": "ack", "up_to": "n1", "id": "7"}, "not_here"),
            ({"type": "dance", "id": "8"}, "unknown_type"),
        ):
            answer = await ear.ask(**frame)
            assert answer == {
                "type": "error",
                "id": frame["id"],
                "code": code,
                "message": answer["message"],
                "retryable": False,
            }
        there.hall.deliver([tick("AAPL", 1), tick("MSFT", 1)])
        assert [each["symbol"] for each in await ear.next(2)] == ["AAPL", "MSFT"]


@on_either_server
async def test_a_room_of_one_symbol_has_no_lists_and_a_batch_of_frames_is_answered_one_by_one() -> None:
    async with house() as there, there.enter(**EXTENDED) as client:
        ear = Ear(client)
        await client.send('[{"type":"ping","id":"1"},{"type":"subscribe","symbols":[],"id":"2"},{"type":"pong"},7]')
        answers = await ear.next(3)
        assert [(each["type"], each.get("id"), each.get("code")) for each in answers] == [
            ("pong", "1", None),
            ("error", "2", "not_here"),
            ("error", None, "bad_message"),
        ]
        await client.send("nonsense")
        assert await closed(client) == (4400, "unreadable")


@on_either_server
async def test_a_client_that_comes_back_gets_what_it_missed_and_then_what_happens() -> None:
    async with house() as there:
        there.hall.deliver([tick(seq=seq) for seq in range(1, 6)] + [signal(seq=3), tick("IBM", 7)])
        async with there.enter(ALL + "?resume=1", **EXTENDED) as client:
            ear = Ear(client)
            assert (await ear.ask(type="ping"))["type"] == "pong"  # nothing else came before
            there.hall.deliver([tick(seq=6)])
            await ear.say(
                {"type": "resume", "positions": {"AAPL": {"epoch": "e1", "price": 3, "prediction": 0}}, "id": "r"}
            )
            assert (await ear.next())[0] == {
                "type": "resumed",
                "id": "r",
                "symbol": "AAPL",
                "recovered": True,
                "replayed": 4,
            }
            assert told(await ear.next(5)) == [
                ("prediction_update", "AAPL", 3, False),
                ("stock_price_update", "AAPL", 4, False),
                ("stock_price_update", "AAPL", 5, False),
                ("stock_price_update", "AAPL", 6, False),
                ("stock_price_update", "IBM", 7, True),
            ]
            there.hall.deliver([tick(seq=7)])
            assert told(await ear.next()) == [("stock_price_update", "AAPL", 7, False)]
            await ear.say({"type": "resume", "positions": {"AAPL": {"epoch": "e0", "price": 6}}})
            assert (await ear.next())[0] == {"type": "resumed", "symbol": "AAPL", "recovered": False}
            assert told(await ear.next(2)) == [
                ("stock_price_update", "AAPL", 7, True),
                ("prediction_update", "AAPL", 3, True),
            ]


@on_either_server
async def test_a_list_may_be_named_before_resuming_and_only_what_is_on_it_resumes() -> None:
    async with house() as there:
        there.hall.deliver([tick("AAPL", 1), tick("AAPL", 2), tick("IBM", 1), tick("MSFT", 1)])
        async with there.enter(ALL + "?resume=1", **EXTENDED) as client:
            ear = Ear(client)
            assert (await ear.ask(type="subscribe", symbols=["AAPL", "IBM"]))["symbols"] == ["AAPL", "IBM"]
            wrong = await ear.ask(type="resume", positions={"MSFT": {"epoch": "e1", "price": 1}})
            assert wrong["code"] == "unknown_symbol"
            await ear.say({"type": "resume", "positions": {"aapl": {"epoch": "e1", "price": 1}}})
            assert (await ear.next())[0]["replayed"] == 1
            assert told(await ear.next(2)) == [
                ("stock_price_update", "AAPL", 2, False),
                ("stock_price_update", "IBM", 1, True),
            ]
            there.hall.deliver([tick("MSFT", 2), tick("IBM", 2)])
            assert told(await ear.next()) == [("stock_price_update", "IBM", 2, False)]


@on_either_server
async def test_nothing_is_held_back_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_rooms, "_HOLD_S", 0.05)
    async with house() as there:
        there.hall.deliver([tick(seq=1)])
        async with there.enter("/websocket/stock/AAPL?resume=1", **EXTENDED) as client:
            assert told(await Ear(client).next()) == [("stock_price_update", "AAPL", 1, True)]


async def test_a_gateway_that_is_behind_catches_up_before_it_answers() -> None:
    async with house() as there:
        there.hall.deliver([tick(seq=1)])
        async with there.enter("/websocket/stock/AAPL?resume=1", **EXTENDED) as client:
            ear = Ear(client)
            await ear.say({"type": "resume", "positions": {"AAPL": {"epoch": "e1", "price": 3}}})
            await asyncio.sleep(0.05)
            there.hall.deliver([tick(seq=2), tick(seq=3), tick(seq=4)])
            assert (await ear.next())[0]["replayed"] == 1
            assert told(await ear.next()) == [("stock_price_update", "AAPL", 4, False)]


async def test_a_position_that_nobody_knows_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_rooms, "_LOOKS", 2)
    async with house() as there:
        there.hall.deliver([tick(seq=1)])
        async with there.enter("/websocket/stock/AAPL?resume=1", **EXTENDED) as client:
            ear = Ear(client)
            assert not (await ear.ask(type="resume", positions={"AAPL": {"epoch": "e9", "price": 3}}))["recovered"]
            assert told(await ear.next()) == [("stock_price_update", "AAPL", 1, True)]


@on_either_server
async def test_at_a_set_rate_frames_and_what_was_conflated_still_add_up() -> None:
    async with house() as there:
        there.hall.deliver([tick("AAPL", 1), tick("IBM", 1)])
        async with there.enter(ALL, **EXTENDED) as client:
            ear = Ear(client)
            await ear.next(2)
            assert await ear.ask(type="set_rate", max_per_second=20, id="9") == {
                "type": "rate_set",
                "id": "9",
                "max_per_second": 20.0,
            }
            for seq in range(2, 102):
                there.hall.deliver([tick("AAPL", seq), tick("IBM", seq)])
                await asyncio.sleep(0.002)
            got = await _until_seq(ear, 101)
            for symbol in ("AAPL", "IBM"):
                mine = [each for each in got if each["symbol"] == symbol]
                assert len(mine) + sum(each["conflated"] for each in mine) == 100
                assert len(mine) < 50
            assert (await ear.ask(type="set_rate", max_per_second=0))["type"] == "rate_set"
            there.hall.deliver([tick("AAPL", 102)])
            there.hall.deliver([tick("AAPL", 103)])
            assert [each["conflated"] for each in await ear.next(2)] == [0, 0]


async def _until_seq(ear: Ear, seq: int) -> list[dict[str, Any]]:
    got: list[dict[str, Any]] = []
    while len([each for each in got if each["seq"] == seq]) < 2:
        got += await ear.next()
    return got


@on_either_server
def test_predictions_are_never_conflated_a_reader_too_slow_for_them_comes_back() -> None:
    async def go() -> None:
        async with house() as there, raw_client(there.port, "/websocket/stock/AAPL?profile=ext") as slow:
            await until(lambda: len(there.hall.rooms) == 1)
            for seq in range(1, 40 * MOST_FACTS):
                there.hall.deliver([signal(seq=seq, prev_seq=seq - 1)])
                if seq % 50 == 0:
                    await asyncio.sleep(0)
            await until(lambda: len(there.hall.rooms) == 0)
            await slow.read(lambda data: b"too_slow" in data[-40:])
            assert (4501).to_bytes(2) in slow.got[-40:]

    asyncio.run(go())


# Tokens


@on_either_server
async def test_an_extended_client_may_say_its_token_first() -> None:
    async with house(anonymous_market_data=False) as there:
        there.hall.deliver([tick(seq=1)])
        async with there.enter(**EXTENDED) as client:
            ear = Ear(client)
            assert (await ear.ask(type="set_rate", max_per_second=1))["code"] == "unauthenticated"
            await ear.say({"type": "auth", "token": there.token(), "id": "a"})
            said = await ear.next(2)
            assert sorted(each["type"] for each in said) == ["authenticated", "stock_price_update"]
        async with there.enter(**EXTENDED) as client:
            await Ear(client).say({"type": "auth", "token": "nonsense"})
            assert await closed(client) == (4401, "bad_token")
        assert await refused(there.enter()) == (401, "token_missing")


@on_either_server
async def test_who_says_no_token_in_time_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "AUTH_WITHIN_S", 0.05)
    async with house(anonymous_market_data=False) as there:
        for path in ("/websocket/stock/AAPL", "/websocket/user/u1/notifications"):
            async with there.enter(path, **EXTENDED) as client:
                assert await closed(client) == (4408, "auth_timeout")


@on_either_server
async def test_a_page_sends_its_token_as_a_subprotocol_and_never_hears_it_again() -> None:
    async with house() as there:
        await _own_room(there, subprotocols=["tickroom.v1", f"bearer.{there.token()}"], origin=there.own_origin)


async def _own_room(there: House, **options: Any) -> None:
    there.mailbox.store(1)
    async with there.enter("/websocket/user/u1/notifications", **options) as client:
        assert client.subprotocol == "tickroom.v1"
        ear = Ear(client)
        assert [each["id"] for each in await ear.next()] == ["n1"]
        assert await ear.ask(type="ack", up_to="n1", id="1") == {"type": "acked", "id": "1"}
        assert (await ear.ask(type="subscribe", symbols=["AAPL"]))["code"] == "not_here"
        there.mailbox.fails = 1
        lost = await ear.ask(type="ack", up_to="n1", id="2")
        assert (lost["type"], lost["code"], lost["retryable"]) == ("error", "unavailable", True)


@on_either_server
async def test_a_users_room_opens_when_its_user_says_a_token_and_nobody_elses() -> None:
    async with house() as there:
        there.mailbox.store(1)
        path = "/websocket/user/u1/notifications"
        async with there.enter(path, **EXTENDED) as client:
            ear = Ear(client)
            await ear.say({"type": "auth", "token": there.token()})
            assert {each["type"] for each in await ear.next(2)} == {"authenticated", "alert_triggered"}
        async with there.enter(path, **EXTENDED) as client:
            await Ear(client).say({"type": "auth", "token": there.token("u2")})
            assert await closed(client) == (4403, "forbidden")
