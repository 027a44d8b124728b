"""Streams over real connections to a server that plays scenes."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.server import serve

from tests.unit.client_python.double import Guest, notification, playing, price
from tests.unit.gateway.serving import until
from tickroom_client import (
    AccountUpdate,
    Closed,
    Gap,
    Garbled,
    MarketStream,
    Message,
    Patience,
    Price,
    Refused,
    Ticket,
    Tickroom,
    Unreachable,
)


async def _take(stream: MarketStream, count: int) -> list[Message]:
    return [await anext(stream) for _ in range(count)]


def _seqs(messages: list[Message]) -> list[int]:
    return [each.seq for each in messages if isinstance(each, Price)]


async def _first_price(guest: Guest) -> None:
    await guest.let_in()
    await guest.say(price(1))
    await guest.stay()


def _problem(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    body = {"status": status, "code": code, "detail": "because", "request_id": "r1"}
    return status, headers, json.dumps(body).encode()


# What is said and heard


async def test_one_connection_for_many_symbols() -> None:
    async def scene(guest: Guest) -> None:
        assert await guest.list() == ["AAPL", "MSFT"]
        assert (await guest.hear("resume"))["positions"] == {}
        await guest.say(price(1), [price(1, "MSFT"), price(2)], {"type": "weather"}, price(3))
        await guest.stay()

    async with playing(scene) as double, double.room(token="t1") as room:
        received = []
        async for message in room.stream("AAPL", "MSFT"):
            assert isinstance(message, Price)
            received.append((message.symbol, message.seq))
            if len(received) == 4:
                break
    assert received == [("AAPL", 1), ("MSFT", 1), ("AAPL", 2), ("AAPL", 3)]
    (guest,) = double.guests
    assert guest.path == "/websocket/stocks/all?resume=1"
    assert guest.authorization == "Bearer t1"


async def test_the_list_and_the_rate_change_while_it_runs() -> None:
    async def scene(guest: Guest) -> None:
        await guest.let_in()
        await guest.say(price(1))
        assert await guest.list() == ["MSFT"]
        await guest.say(price(1, "MSFT", snapshot=True))
        rate = await guest.hear("set_rate")
        assert rate["max_per_second"] == 2
        gone = await guest.hear("unsubscribe")
        assert gone["symbols"] == ["AAPL"]
        await guest.say(price(2), {"type": "subscribed", "id": gone["id"], "symbols": ["MSFT"]}, price(2, "MSFT"))
        await guest.stay()

    async with playing(scene) as double, double.room() as room:
        stream = room.stream("AAPL")
        first = await _take(stream, 1)
        stream.subscribe("msft")
        second = await _take(stream, 1)
        stream.set_rate(2)
        stream.unsubscribe("AAPL")
        third = await _take(stream, 1)
    told = [(each.symbol, each.seq) for each in first + second + third if isinstance(each, Price)]
    assert told == [("AAPL", 1), ("MSFT", 1), ("MSFT", 2)]


async def test_pings_are_answered() -> None:
    async def scene(guest: Guest) -> None:
        await guest.let_in()
        await guest.say({"type": "ping"})
        await guest.hear("pong")
        await guest.say(price(1))
        await guest.stay()

    async with playing(scene) as double, double.room() as room:
        assert _seqs(await _take(room.stream("AAPL"), 1)) == [1]


# Connections that end


async def test_a_connection_that_breaks_is_resumed() -> None:
    async def breaks(guest: Guest) -> None:
        await guest.let_in()
        await guest.say(price(1), price(2))
        await guest.hear("set_rate")
        guest.vanish()

    async def goes_on(guest: Guest) -> None:
        await guest.hear("set_rate")
        assert await guest.let_in() == {"AAPL": {"epoch": "e1", "price": 2, "prediction": 0}}
        await guest.say({"type": "resumed", "symbol": "AAPL", "recovered": True, "replayed": 1})
        await guest.say([price(2), price(3)], price(4))
        await guest.hear("set_rate")
        await guest.close(4501, "too_slow")

    async def forgot(guest: Guest) -> None:
        await guest.hear("set_rate")
        await guest.let_in()
        await guest.say({"type": "resumed", "symbol": "AAPL", "recovered": False}, price(90, snapshot=True))
        await guest.stay()

    async with playing(breaks, goes_on, forgot) as double, double.room() as room:
        stream = room.stream("AAPL")
        connected = [stream.connected]
        assert _seqs(await _take(stream, 2)) == [1, 2]
        connected.append(stream.connected)
        assert connected == [False, True]
        stream.set_rate(1)
        assert _seqs(await _take(stream, 2)) == [3, 4]
        stream.set_rate(2)
        gap, snapshot = await _take(stream, 2)
        assert gap == Gap(symbol="AAPL", kind=None, reason="not_recovered", epoch="e1", after_seq=4)
        assert _seqs([snapshot]) == [90]


async def test_what_is_for_good_comes_behind_all_that_came_before() -> None:
    async def scene(guest: Guest) -> None:
        await guest.let_in()
        await guest.say(*[price(seq) for seq in range(1, 10)])
        await guest.close(4403, "forbidden")

    async with playing(scene) as double, double.room(queue=2) as room:
        stream = room.stream("AAPL")
        assert _seqs(await _take(stream, 9)) == list(range(1, 10))
        for _ in range(2):
            with pytest.raises(Closed, match="closed with 4403 forbidden"):
                await anext(stream)
    assert len(double.guests) == 1


async def test_nobody_comes_back_before_the_time_that_the_server_named() -> None:
    async def drains(guest: Guest) -> None:
        await guest.let_in()
        await guest.close(4503, "draining retry_after_ms=200")

    async with playing(drains, _first_price) as double, double.room() as room:
        begun = asyncio.get_running_loop().time()
        assert _seqs(await _take(room.stream("AAPL"), 1)) == [1]
        assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_silence_is_an_end_too() -> None:
    async def silent(guest: Guest) -> None:
        await guest.let_in()
        await guest.stay()

    patience = Patience(first_s=0.001, silence_s=0.2, between_s=0.0)
    async with playing(silent, _first_price) as double, double.room(patience=patience) as room:
        assert _seqs(await _take(room.stream("AAPL"), 1)) == [1]


async def test_what_may_work_later_is_tried_later() -> None:
    async def not_now(guest: Guest) -> None:
        asked = await guest.hear("subscribe")
        told = {"type": "error", "id": asked["id"], "code": "unavailable", "message": "", "retryable": True}
        await guest.say(told)
        await guest.stay()

    async with playing(not_now, _first_price) as double, double.room() as room:
        assert _seqs(await _take(room.stream("AAPL"), 1)) == [1]


# Refusals


async def test_a_refusal_is_read_out() -> None:
    async with playing(refusals=[_problem(403, "forbidden")]) as double, double.room() as room:
        with pytest.raises(Refused, match="refused with HTTP 403 forbidden: because") as refused:
            await anext(room.stream())
    assert (refused.value.status, refused.value.code, refused.value.request_id) == (403, "forbidden", "r1")


async def test_refusals_that_pass_are_tried_again() -> None:
    refusals = [_problem(503, "busy", **{"Retry-After": "0"}), _problem(429, "too_many_requests"), (502, {}, b"")]
    async with playing(_first_price, refusals=refusals) as double, double.room() as room:
        assert _seqs(await _take(room.stream("AAPL"), 1)) == [1]
    assert double.knocks == 4


async def test_attempts_end_where_they_are_counted() -> None:
    counted = Patience(first_s=0.001, attempts=3)
    async with playing(refusals=[_problem(503, "busy")] * 5) as double, double.room(patience=counted) as room:
        with pytest.raises(Unreachable, match="gave up after 3 attempts") as gave_up:
            await anext(room.stream())
    assert isinstance(gave_up.value.__cause__, Refused)
    assert double.knocks == 3
    async with Tickroom(double.url, patience=counted, proxy=None) as room:
        with pytest.raises(Unreachable):  # nobody listens there any more
            await anext(room.stream())


async def test_connections_that_do_not_last_are_failures() -> None:
    async def slams(guest: Guest) -> None:
        await guest.let_in()
        await guest.close(1013)

    counted = Patience(first_s=0.001, attempts=3, steady_s=60.0)
    async with playing(slams, slams, slams) as double, double.room(patience=counted) as room:
        with pytest.raises(Unreachable):
            await anext(room.stream("AAPL"))
    assert len(double.guests) == 3


@pytest.mark.parametrize("frame", ["no JSON", '"a text"', '[{"type":"pong"},3]', '{"type":5}', "[[]]"])
async def test_a_server_that_talks_nonsense(frame: str) -> None:
    async def scene(guest: Guest) -> None:
        await guest.say(frame)
        await guest.stay()

    async with playing(scene) as double, double.room() as room:
        with pytest.raises(Garbled):
            await anext(room.stream())


async def test_a_server_that_is_another_one() -> None:
    async def play(_connection: Any) -> None:
        pass

    async with serve(play, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Tickroom(f"http://127.0.0.1:{port}", proxy=None) as room:
            with pytest.raises(Garbled, match=r"tickroom\.v1"):
                await anext(room.stream())


async def test_a_server_that_hangs_up_in_the_handshake() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Tickroom(f"ws://127.0.0.1:{port}", patience=Patience(attempts=1), proxy=None) as room:
        with pytest.raises(Unreachable):
            await anext(room.stream())


# Tokens


class _Office:
    def __init__(self, *answers: str | Exception) -> None:
        self.asked: list[str | None] = []
        self._answers = list(answers)

    async def __call__(self, old: str | None) -> str:
        self.asked.append(old)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_refused_token_is_replaced_once() -> None:
    refusals = [_problem(401, "bad_token")]
    office = _Office("t1", "t2")
    async with playing(_first_price, refusals=refusals) as double, double.room(token=office) as room:
        await _take(room.stream("AAPL"), 1)
    assert double.guests[0].authorization == "Bearer t2"
    office = _Office("t1", "t2", "t3")
    async with playing(refusals=refusals * 2) as double, double.room(token=office) as room:
        with pytest.raises(Refused, match="401"):
            await anext(room.stream("AAPL"))
    assert office.asked == [None, "t1"]
    async with playing(refusals=refusals) as double, double.room(token="t") as room:
        with pytest.raises(Refused, match="401"):
            await anext(room.stream("AAPL"))


async def test_a_token_that_is_worth_nothing_any_more() -> None:
    async def shows_out(guest: Guest) -> None:
        await guest.let_in()
        await guest.say(price(1))
        await guest.close(4401, "token_revoked")

    office = _Office("t1", OSError("no network"), "t2")
    async with playing(shows_out, _resumes) as double, double.room(token=office) as room:
        assert _seqs(await _take(room.stream("AAPL"), 2)) == [1, 2]
    assert [guest.authorization for guest in double.guests] == ["Bearer t1", "Bearer t1"]
    assert office.asked == [None, "t1"]

    async with playing(shows_out) as double, double.room(token="t1") as room:
        stream = room.stream("AAPL")
        await _take(stream, 1)
        with pytest.raises(Closed, match="4401 token_revoked"):
            await anext(stream)


async def _resumes(guest: Guest) -> None:
    await guest.let_in()
    await guest.say({"type": "resumed", "symbol": "AAPL", "recovered": True, "replayed": 1}, price(2))
    await guest.stay()


async def test_a_token_is_renewed_on_the_open_connection() -> None:
    async def warns(guest: Guest) -> None:
        await guest.let_in()
        await guest.say({"type": "token_expiring", "in_s": 60})
        assert (await guest.hear("auth"))["token"] == "t2"
        await guest.say({"type": "authenticated"}, price(1))
        await guest.hear("set_rate")
        await guest.close(1012)

    async def again(guest: Guest) -> None:
        await guest.hear("set_rate")
        await _resumes(guest)

    office = _Office("t1", "t2")
    async with playing(warns, again) as double, double.room(token=office) as room:
        stream = room.stream("AAPL")
        assert _seqs(await _take(stream, 1)) == [1]
        stream.set_rate(1)
        assert _seqs(await _take(stream, 1)) == [2]
    assert [guest.authorization for guest in double.guests] == ["Bearer t1", "Bearer t2"]
    assert office.asked == [None, "t1"]


async def test_a_renewal_that_fails() -> None:
    async def warns(guest: Guest) -> None:
        await guest.let_in()
        await guest.say({"type": "token_expiring", "in_s": 60}, {"type": "ping"})
        await guest.hear("pong")
        await guest.say({"type": "ping"})
        await guest.hear("pong")
        await guest.say(price(1))
        await guest.stay()

    async with playing(warns) as double, double.room(token=_Office("t1", OSError("no network"))) as room:
        assert _seqs(await _take(room.stream("AAPL"), 1)) == [1]
    async with playing(warns) as double, double.room(token="fixed") as room:
        assert _seqs(await _take(room.stream("AAPL"), 1)) == [1]
    async with playing(warns) as double, double.room(token=_Office("t1", KeyError("logged out"))) as room:
        with pytest.raises(KeyError, match="logged out"):
            await anext(room.stream("AAPL"))


async def test_a_ticket_opens_one_connection() -> None:
    async def warns(guest: Guest) -> None:
        await guest.let_in()
        await guest.say({"type": "token_expiring", "in_s": 60}, {"type": "ping"})
        await guest.hear("pong")
        guest.vanish()

    office = _Office(Ticket("one"), Ticket("two"))
    async with playing(warns, _first_price) as double, double.room(token=office) as room:
        await _take(room.stream("AAPL"), 1)
    assert [guest.path.partition("&")[2] for guest in double.guests] == ["ticket=one", "ticket=two"]
    assert [guest.authorization for guest in double.guests] == [None, None]


# Slow users, and the end


async def test_a_slow_user_stops_the_server() -> None:
    total = 40_000
    sent = 0

    async def pours(guest: Guest) -> None:
        nonlocal sent
        await guest.let_in()
        for seq in range(1, total + 1):
            await guest.say(price(seq, padding="x" * 500))
            sent = seq
        await guest.stay()

    async with playing(pours) as double, double.room() as room:
        stream = room.stream("AAPL")
        assert _seqs(await _take(stream, 1)) == [1]
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < total / 2
        assert _seqs(await _take(stream, before)) == list(range(2, before + 2))
        await stream.aclose()  # in the middle of it: the rest is read out, or the server's goodbye would not come
    assert len(double.guests) == 1


async def test_the_end_of_a_room_is_the_end_of_its_streams() -> None:
    async with playing(_first_price, _first_price) as double:
        async with double.room() as room, room.stream("AAPL") as stream, room.stream("AAPL") as other:
            await _take(stream, 1)
            waiting = asyncio.create_task(_all_of(other))
            await until(lambda: len(double.guests) == 2)
        assert len(await waiting) <= 1
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await stream.aclose()


async def _all_of(stream: MarketStream) -> list[Message]:
    return [message async for message in stream]


async def test_a_stream_that_nobody_listened_to_never_connects() -> None:
    async with playing() as double, double.room() as room:
        room.stream("AAPL")
    assert double.knocks == 0


async def test_a_stream_is_closed_while_it_waits_to_come_back() -> None:
    async with playing(refusals=[_problem(503, "busy", **{"Retry-After": "600"})]) as double, double.room() as room:
        waiting = asyncio.create_task(_all_of(room.stream("AAPL")))
        await until(lambda: double.knocks == 1)
    assert await waiting == []


# Notifications


async def test_notifications_are_read_once_and_marked() -> None:
    async def first(guest: Guest) -> None:
        await guest.say(notification(1), notification(2))
        assert (await guest.hear("ack"))["notification_ids"] == ["n1"]
        guest.vanish()  # before it is answered

    async def second(guest: Guest) -> None:
        said = await guest.hear("ack")
        assert said["notification_ids"] == ["n1"]
        await guest.say({"type": "acked", "id": said["id"]}, notification(2), notification(3))
        await guest.stay()

    patience = Patience(first_s=0.001, between_s=0.0)
    async with playing(first, second) as double, double.room(token="t1", patience=patience) as room:
        ids = []
        async with room.notifications("u1") as inbox:
            async for message in inbox:
                assert isinstance(message, AccountUpdate)
                ids.append(message.id)
                if message.id != "n2":
                    inbox.ack(message)
                if message.id == "n3":
                    break  # the goodbye comes behind what is still to be said
        await until(lambda: len(double.guests[1].said) == 2)
    assert ids == ["n1", "n2", "n3"]
    assert double.guests[1].said[1]["notification_ids"] == ["n3"]
    assert {guest.path for guest in double.guests} == {"/websocket/user/u1/notifications"}
