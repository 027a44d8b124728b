"""The rooms as a client finds them, on our own server and on one that takes no ready-made frames."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.frames import Opcode

from services.gateway import user_rooms
from services.gateway.backends import StoredNotification
from services.gateway.fanout import Fanout
from services.shared.events import AccountUpdated, SessionRevoked, encode
from services.shared.kafka import Kafka
from tests.unit.gateway.frames import heard, messages_of, notification, signal, tick
from tests.unit.gateway.serving import masked, raw_client, until
from tests.unit.gateway.socket_house import closed, house, on_either_server, refused, told

# What arrives


@on_either_server
async def test_a_room_tells_the_last_known_first_and_then_what_happens_in_the_exact_plain_form() -> None:
    async with house() as there:
        there.hall.deliver([tick("AAPL", 1), tick("IBM", 8), signal("AAPL", 1), tick("AAPL", 2)])
        async with there.enter("/websocket/stock/aapl") as client, there.enter() as other:
            expected = [
                {"type": "stock_price_update", "symbol": "AAPL", "price": 2.0, "timestamp": "2024-09-21T14:01:00Z"},
                {
                    "type": "prediction_update",
                    "symbol": "AAPL",
                    "prediction": "buy",
                    "timestamp": "2024-09-21T14:01:01Z",
                },
            ]
            assert await told(client, 2) == expected
            assert await told(other, 2) == expected
            there.hall.deliver([tick("IBM", 9), tick("AAPL", 3), tick("AAPL", 3), signal("AAPL", 3)])
            for each in (client, other):
                assert [heard(message).seq for message in await told(each, 2)] == [3, 3]


@on_either_server
async def test_the_room_of_all_tells_every_symbol() -> None:
    async with house() as there:
        there.hall.deliver([tick("IBM", 8), signal("AAPL", 1), tick("AAPL", 2)])
        async with there.enter("/websocket/stocks/all") as client:
            assert [(each["symbol"], each["type"]) for each in await told(client, 3)] == [
                ("AAPL", "stock_price_update"),
                ("AAPL", "prediction_update"),
                ("IBM", "stock_price_update"),
            ]
            there.hall.deliver([tick("IBM", 9), tick("AAPL", 3)])
            assert [each["symbol"] for each in await told(client, 2)] == ["IBM", "AAPL"]


@on_either_server
async def test_where_nothing_is_known_nothing_is_sent() -> None:
    async with house() as there, there.enter("/websocket/stock/ibm") as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.1)
        there.hall.deliver([tick("IBM", 1)])
        assert (await told(client, 1))[0]["symbol"] == "IBM"


@on_either_server
async def test_who_leaves_is_forgotten() -> None:
    async with house() as there:
        for _ in range(3):
            async with there.enter(), there.enter("/websocket/stocks/all"):
                await until(lambda: len(there.hall.rooms) == 2)
            await until(lambda: len(there.hall.rooms) == 0)
        async with there.enter("/websocket/user/u1/notifications", token=there.token()):
            await until(lambda: there.hall.listeners == 1)
        await until(lambda: there.hall.listeners == 0)


@on_either_server
def test_a_reader_that_stops_costs_the_others_nothing_and_gets_the_newest_in_the_end() -> None:
    async def go() -> None:
        async with (
            house() as there,
            raw_client(there.port, "/websocket/stocks/all") as slow,
            there.enter("/websocket/stocks/all", max_queue=None) as quick,
        ):
            await until(lambda: len(there.hall.rooms) == 2)
            rounds = 6000
            for seq in range(1, rounds + 1):
                there.hall.deliver([tick("AAPL", seq), tick("IBM", seq), signal("AAPL", 1)])
                if seq % 50 == 0:
                    await asyncio.sleep(0)
            async with asyncio.timeout(60):
                got = [heard(json.loads(await quick.recv())) for _ in range(2 * rounds + 1)]
            _each_once_in_order(got, rounds)
            assert len(got) == len(set(got))
            await slow.read(lambda data: _has(data, "AAPL", rounds) and _has(data, "IBM", rounds))
            late = [heard(message) for message in messages_of(slow.got)]
            _each_once_in_order(late, rounds)
            assert len(late) < len(got)

    uvloop.run(go())


def _has(data: bytes, symbol: str, seq: int) -> bool:
    return b'"symbol":"%b","price":%d.0,' % (symbol.encode(), seq) in data[-400:]


def _each_once_in_order(got: list[Any], newest: int) -> None:
    for symbol in ("AAPL", "IBM"):
        seqs = [each.seq for each in got if each.symbol == symbol and each.type == "stock_price_update"]
        assert seqs == sorted(set(seqs))
        assert seqs[-1] == newest


# Who may come in


@on_either_server
async def test_an_unknown_symbol_or_path_is_a_problem_for_programs_and_a_close_code_for_pages() -> None:
    async with house() as there:
        assert await refused(there.enter("/websocket/stock/NOPE")) == (404, "unknown_symbol")
        assert await refused(there.enter("/websocket/stock/no%20symbol%00at%20all")) == (404, "unknown_symbol")
        assert await refused(there.enter("/websocket/nowhere")) == (404, "unknown_path")
        async with there.enter("/websocket/stock/NOPE", origin=there.own_origin) as page:
            assert await closed(page) == (4404, "unknown_symbol")
        async with there.enter("/elsewhere", origin=there.own_origin) as page:
            assert await closed(page) == (4404, "unknown_path")


async def test_who_asks_for_a_room_as_for_a_page_is_told_what_it_is() -> None:
    async with house() as there, httpx.AsyncClient(base_url=there.own_origin) as client:
        answer = await client.get("/websocket/stock/AAPL")
        assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_needed")
        assert answer.headers["upgrade"] == "websocket"
        assert (await client.post("/websocket/stocks/all")).status_code == 405
        assert (await client.get("/websocket/nope")).status_code == 404


@on_either_server
async def test_foreign_pages_and_foreign_hosts_are_refused_before_the_handshake() -> None:
    async with house() as there:
        assert await refused(there.enter(origin="https://evil.example")) == (403, "foreign_origin")
        assert await refused(there.enter(origin="null")) == (403, "foreign_origin")
        evil = connect(f"ws://evil.example:{there.port}/websocket/stock/AAPL", proxy=None, host="127.0.0.1")
        assert await refused(evil) == (421, "foreign_host")
        async with there.enter(origin=there.own_origin):
            await until(lambda: len(there.hall.rooms) == 1)


@on_either_server
async def test_market_rooms_ask_for_a_token_where_the_setting_says_so_and_refuse_a_bad_one_always() -> None:
    async with house(anonymous_market_data=False) as there:
        assert await refused(there.enter()) == (401, "token_missing")
        assert await refused(there.enter("/websocket/stocks/all")) == (401, "token_missing")
        async with there.enter(origin=there.own_origin) as page:
            assert await closed(page) == (4401, "token_missing")
        async with there.enter(token=there.token()), there.enter("/websocket/stocks/all", token=there.token("u2")):
            await until(lambda: len(there.hall.rooms) == 2)
    async with house() as there:
        assert await refused(there.enter(token="nonsense")) == (401, "bad_token")
        assert await refused(there.enter(token=there.token(exp=1))) == (401, "token_expired")
        assert await refused(there.enter("/websocket/stocks/all", token="nonsense")) == (401, "bad_token")


@on_either_server
async def test_a_users_room_is_that_users_alone() -> None:
    async with house() as there:
        path = "/websocket/user/u1/notifications"
        assert await refused(there.enter(path)) == (401, "token_missing")
        assert await refused(there.enter(path, token="nonsense")) == (401, "bad_token")
        assert await refused(there.enter(path, token=there.token("u2"))) == (403, "forbidden")
        nobody = there.enter("/websocket/user/nobody/notifications", token=there.token())
        assert await refused(nobody) == (403, "forbidden")
        async with there.enter(path, origin=there.own_origin) as page:
            assert await closed(page) == (4401, "token_missing")
        async with there.enter(path, token=there.token("u2"), origin=there.own_origin) as page:
            assert await closed(page) == (4403, "forbidden")


# Notifications


async def _nothing() -> Sequence[bytes]:
    return ()


@on_either_server
async def test_unread_notifications_come_first_oldest_first_then_what_is_pushed_each_once() -> None:
    async with house() as there:
        for number in range(1, 6):
            there.mailbox.store(number)
        there.mailbox.read.add("n2")
        async with there.enter("/websocket/user/u1/notifications", token=there.token()) as client:
            unread = await told(client, 4)
            assert [each["id"] for each in unread] == ["n1", "n3", "n4", "n5"]
            assert list(unread[0]) == [
                *("type", "id", "alert_id", "symbol", "condition", "threshold", "price", "message", "timestamp"),
            ]
            there.hall.deliver([there.mailbox.store(6), notification(5), notification(99, "u2")])
            there.hall.deliver([there.mailbox.store(7), notification(6)])
            assert [each["id"] for each in await told(client, 2)] == ["n6", "n7"]
            async with there.enter("/websocket/user/u1/notifications", token=there.token()) as second:
                assert len(await told(second, 6)) == 6
                there.hall.deliver([there.mailbox.store(8)])
                for each in (client, second):
                    assert [message["id"] for message in await told(each, 1)] == ["n8"]


@on_either_server
async def test_a_storm_that_outruns_the_reader_is_paged_from_the_store_and_nothing_is_lost() -> None:
    async with house() as there, there.enter("/websocket/user/u1/notifications", token=there.token()) as client:
        await until(lambda: there.mailbox.pages == 1)
        there.hall.deliver([there.mailbox.store(number) for number in range(1, 301)])
        assert [each["id"] for each in await told(client, 300)] == [f"n{number}" for number in range(1, 301)]
        assert there.mailbox.pages > 100


@on_either_server
async def test_a_socket_is_told_why_before_it_closes() -> None:
    news = AccountUpdated(id="n2", event="password_changed", timestamp="2024-09-21T14:23:00Z", user_id="u1")
    over = SessionRevoked(id="n3", user_id="u1", session_id="", version=2, timestamp="2024-09-21T14:23:00Z")
    async with house() as there, there.enter("/websocket/user/u1/notifications", token=there.token()) as client:
        await until(lambda: there.mailbox.pages == 1)
        there.hall.deliver([there.mailbox.store(1)])
        assert [each["id"] for each in await told(client, 1)] == ["n1"]
        kafka = Kafka(bootstrap="127.0.0.1:1", embedded=True, log_id="", partitions={})
        reading = Fanout(kafka, there.hall, prices=_nothing, signals=_nothing, revoked=there.revocations.note)
        reading._take([encode(news), encode(over)])
        assert [each["event"] for each in await told(client, 1)] == ["password_changed"]
        assert await closed(client) == (4401, "token_revoked")


@on_either_server
async def test_an_ack_marks_as_read_and_is_answered() -> None:
    async with house() as there, there.enter("/websocket/user/u1/notifications", token=there.token()) as client:
        await client.send('{"type":"ack","notification_ids":["n1","n2"],"id":"7"}')
        await client.send('{"type":"ack","up_to":"n9"}')
        await client.send('{"type":"ack","notification_ids":"not a list"}')
        assert await told(client, 2) == [{"type": "acked", "id": "7"}, {"type": "acked"}]
        assert there.mailbox.acks == [("u1", ("n1", "n2"), ""), ("u1", (), "n9")]
        there.mailbox.fails = 1
        await client.send('{"type":"ack","up_to":"n9","id":"lost"}')
        await client.send('{"type":"ack","up_to":"n9","id":"again"}')
        assert await told(client, 1) == [{"type": "acked", "id": "again"}]


@on_either_server
async def test_while_the_store_is_away_the_socket_stays_and_catches_up_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_rooms, "_ASK_AGAIN_S", 0.01)
    async with house() as there:
        there.mailbox.fails = 3
        there.mailbox.store(1)
        there.mailbox.stored.append(StoredNotification("broken", b'{"type":"alert_triggered","id":"broken"}', False))
        async with there.enter("/websocket/user/u1/notifications", token=there.token()) as client:
            there.hall.deliver([there.mailbox.store(2)])
            assert [each["id"] for each in await told(client, 2)] == ["n1", "n2"]


# What a client may say


@on_either_server
@pytest.mark.parametrize("path", ["/websocket/stock/AAPL", "/websocket/stocks/all", "/websocket/user/u1/notifications"])
async def test_what_is_no_json_closes_and_other_words_are_ignored(path: str) -> None:
    async with house() as there:
        async with there.enter(path, token=there.token()) as client:
            for ignored in ('{"type":"subscribe","symbols":["IBM"]}', "7", b"[]", '{"type":"ack"}'):
                await client.send(ignored)
            await client.send(json.dumps({"type": "auth", "token": there.token(), "id": "a"}))
            assert await told(client, 1) == [{"type": "authenticated", "id": "a"}]
        for unreadable in ("nonsense", b"\xff\x00", ""):
            async with there.enter(path, token=there.token()) as client:
                await client.send(unreadable)
                assert await closed(client) == (4400, "unreadable")


@on_either_server
@pytest.mark.parametrize("path", ["/websocket/stock/AAPL", "/websocket/user/u1/notifications"])
async def test_a_bad_token_said_later_closes(path: str) -> None:
    async with house() as there, there.enter(path, token=there.token()) as client:
        await client.send('{"type":"auth","token":"nonsense"}')
        assert await closed(client) == (4401, "bad_token")


async def test_another_users_token_closes_a_users_room() -> None:
    async with house() as there, there.enter("/websocket/user/u1/notifications", token=there.token()) as client:
        await client.send(json.dumps({"type": "auth", "token": there.token("u2")}))
        assert await closed(client) == (4403, "forbidden")


@on_either_server
async def test_too_many_messages_close_and_ignored_ones_count() -> None:
    async with house(max_messages_per_second=10) as there, there.enter() as client:
        for _ in range(12):
            await client.send("{}")
        assert await closed(client) == (4429, "too_many_messages")


async def test_a_breach_in_a_users_room_ends_quietly_whatever_is_being_sent() -> None:
    async with house(max_message_bytes=1000) as there:
        headers = f"Authorization: Bearer {there.token()}\r\n"
        async with raw_client(there.port, "/websocket/user/u1/notifications", headers=headers) as client:
            await until(lambda: there.mailbox.pages == 1)
            await client.send(masked(Opcode.TEXT, b"x" * 2000))
            for number in range(1, 4):
                there.hall.deliver([there.mailbox.store(number)])
                await asyncio.sleep(0)
            await client.read(lambda got: (1009).to_bytes(2) in got)
            there.hall.deliver([there.mailbox.store(9)])
            await until(lambda: there.hall.listeners == 0)


async def test_too_big_a_message_closes_with_1009_and_hurts_nobody_else() -> None:
    async with (
        house(max_message_bytes=1000) as there,
        there.enter() as other,
        raw_client(there.port, "/websocket/stock/AAPL") as client,
    ):
        await client.send(masked(Opcode.TEXT, b"x" * 100_000))
        await client.read(lambda got: len(got) > 4)
        assert client.got[2:4] == (1009).to_bytes(2)
        there.hall.deliver([tick("AAPL", 1)])
        assert len(await told(other, 1)) == 1
