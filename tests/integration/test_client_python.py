"""The Python client at the gateway's rooms, over wires that break."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway import server
from services.gateway.backends import Revocation, SessionRef
from services.gateway.websocket_protocol import FrameProtocol
from tests.e2e.house import PASSWORD, embedded, register
from tests.unit.client_python.relay import Relay, relay
from tests.unit.gateway.frames import bar, signal, split, tick
from tests.unit.gateway.serving import until
from tests.unit.gateway.socket_house import House, house
from tickroom_client import (
    AlertTriggered,
    Bar,
    Closed,
    Gap,
    MarketStream,
    Message,
    Patience,
    Prediction,
    Price,
    Problem,
    Refused,
    Split,
    Ticket,
    Tickroom,
)

_QUICK = Patience(first_s=0.001, longest_s=0.01, steady_s=0.0)
_BOTH = ("AAPL", "IBM")


@pytest.fixture(params=["frames", "messages"])
def _either_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "messages":
        monkeypatch.setattr(server, "FrameProtocol", FrameProtocol.__base__)


on_either_server = pytest.mark.usefixtures("_either_server")


def _room(port: int, **options: Any) -> Tickroom:
    return Tickroom(f"ws://127.0.0.1:{port}", **{"proxy": None, "patience": _QUICK, **options})


@asynccontextmanager
async def _house_behind_a_relay(**settings: Any) -> AsyncIterator[tuple[House, Relay]]:
    async with house(max_connections_per_address=0, **settings) as there, relay(there.port) as between:
        yield there, between


async def _take(stream: MarketStream, count: int) -> list[Message]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


def _told(messages: list[Message]) -> list[tuple[type, str, int]]:
    return [(type(each), each.symbol, each.seq) for each in messages if not isinstance(each, Gap | Problem)]


class _Listener:
    """Listens to a stream in a task of its own, and keeps what it hears. newest: the last price of each symbol."""

    def __init__(self, stream: MarketStream) -> None:
        self.heard: list[Message] = []
        self.newest: dict[str, int] = {}
        self.task = asyncio.create_task(self._listen(stream))

    async def _listen(self, stream: MarketStream) -> None:
        async for message in stream:
            self.heard.append(message)
            if isinstance(message, Price):
                self.newest[message.symbol] = message.seq

    def seqs(self, symbol: str) -> list[int]:
        return [seq for kind, of, seq in _told(self.heard) if of == symbol and kind is not Prediction]

    def predictions(self, symbol: str) -> list[int]:
        return [seq for kind, of, seq in _told(self.heard) if of == symbol and kind is Prediction]

    @property
    def gaps(self) -> list[Gap]:
        return [each for each in self.heard if isinstance(each, Gap)]


# Streaming


@on_either_server
async def test_everything_arrives_typed_first_what_is_known_then_what_happens() -> None:
    async with house() as there, _room(there.port) as room:
        there.hall.deliver([tick(seq=1), bar(seq=2), signal(seq=2), tick("IBM", 7)])
        stream = room.stream("aapl")
        first = await _take(stream, 3)
        assert _told(first) == [(Price, "AAPL", 1), (Bar, "AAPL", 2), (Prediction, "AAPL", 2)]
        assert all(each.snapshot for each in first if not isinstance(each, Gap | Problem))
        there.hall.deliver([split(seq=3), tick(seq=4), tick("IBM", 8), signal(seq=4, prev_seq=2)])
        news = await _take(stream, 3)
        assert _told(news) == [(Split, "AAPL", 3), (Price, "AAPL", 4), (Prediction, "AAPL", 4)]
        assert isinstance(news[1], Price)
        assert (news[1].price, news[1].source, news[1].conflated, news[1].snapshot) == (4.0, "replay", 0, False)
        stream.subscribe("IBM")
        assert _told(await _take(stream, 1)) == [(Price, "IBM", 8)]
        stream.unsubscribe("AAPL")
        stream.subscribe("NOPE")
        assert await _take(stream, 1) == [
            Problem(code="unknown_symbol", message="no such symbol is known here", symbols=("NOPE",))
        ]
        there.hall.deliver([tick(seq=5), tick("IBM", 9)])
        assert _told(await _take(stream, 1)) == [(Price, "IBM", 9)]


@on_either_server
async def test_all_symbols_need_no_list() -> None:
    async with house() as there, _room(there.port) as room:
        there.hall.deliver([tick("AAPL", 1), tick("IBM", 7)])
        stream = room.stream()
        assert _told(await _take(stream, 2)) == [(Price, "AAPL", 1), (Price, "IBM", 7)]
        there.hall.deliver([tick("IBM", 8), tick("AAPL", 2)])
        assert sorted(_told(await _take(stream, 2)), key=str) == [(Price, "AAPL", 2), (Price, "IBM", 8)]


async def test_a_list_with_unknown_symbols_and_too_many_of_them_brings_what_there_is() -> None:
    async with house(max_symbols_per_connection=1) as there, _room(there.port) as room:
        there.hall.deliver([tick("AAPL", 1), tick("IBM", 7)])
        stream = room.stream("NOPE", "AAPL", "NEITHER", "IBM")
        first = await _take(stream, 4)
        problems = {(each.code, each.symbols) for each in first if isinstance(each, Problem)}
        assert problems == {
            ("unknown_symbol", ("NOPE",)),
            ("unknown_symbol", ("NEITHER",)),
            ("too_many_symbols", ("IBM",)),
        }
        assert _told(first) == [(Price, "AAPL", 1)]


# Wires that break


@on_either_server
async def test_two_hundred_broken_wires_lose_nothing_and_repeat_nothing() -> None:
    """Whatever is on its way when a wire breaks is told again, at this gateway or at the other one."""
    chance = random.Random(7)
    async with _house_behind_a_relay() as (there, between), house(max_connections_per_address=0) as other:
        source = _Source()
        async with _room(between.port) as room:
            listener = _Listener(room.stream(*_BOTH))
            for number in range(200):
                for _ in range(chance.randint(1, 12)):
                    records = source.next(chance)
                    there.hall.deliver(records)
                    other.hall.deliver(records)
                    if chance.random() < 0.3:
                        await asyncio.sleep(0)
                await until(lambda: between.connections > number)  # noqa: B023
                between.target = chance.choice((there.port, other.port))
                between.cut()
                if number % 4 == 0:
                    await until(lambda: listener.newest == source.seqs)
            await until(lambda: listener.newest == source.seqs)
            for symbol in _BOTH:
                await until(lambda: listener.predictions(symbol)[-1:] == source.signals[symbol][-1:])  # noqa: B023
        assert between.connections > 200
        assert listener.gaps == []
        for symbol in _BOTH:
            seqs = listener.seqs(symbol)
            assert seqs == list(range(seqs[0], source.seqs[symbol] + 1))
            predictions = listener.predictions(symbol)
            assert predictions == source.signals[symbol][-len(predictions) :]


class _Source:
    """Numbers records as stock_data and prediction do."""

    def __init__(self) -> None:
        self.seqs: dict[str, int] = {}
        self.signals: dict[str, list[int]] = {symbol: [] for symbol in _BOTH}

    def next(self, chance: random.Random) -> list[bytes]:
        """A price, or a bar and what prediction says to it, and a price."""
        symbol = chance.choice(_BOTH)
        seq = self.seqs[symbol] = self.seqs.get(symbol, 0) + 1
        if chance.random() < 0.7:
            return [tick(symbol, seq)]
        before = self.signals[symbol][-1] if self.signals[symbol] else 0
        self.signals[symbol].append(seq)
        self.seqs[symbol] += 1
        return [bar(symbol, seq), signal(symbol, seq, prev_seq=before), tick(symbol, seq + 1)]


async def test_a_first_prediction_that_came_while_nobody_listened_is_told() -> None:
    async with _house_behind_a_relay() as (there, between), _room(between.port) as room:
        there.hall.deliver([tick(seq=1)])
        stream = room.stream("AAPL")
        await _take(stream, 1)
        between.target = 0
        between.cut()
        there.hall.deliver([bar(seq=2), signal(seq=2), tick(seq=3)])
        between.target = there.port
        assert _told(await _take(stream, 3)) == [(Bar, "AAPL", 2), (Prediction, "AAPL", 2), (Price, "AAPL", 3)]


async def test_what_nobody_keeps_any_more_is_a_gap_and_not_passed_off_as_whole() -> None:
    async with _house_behind_a_relay() as (there, between), _room(between.port) as room:
        there.hall.deliver([tick(seq=1), tick("IBM", 1)])
        stream = room.stream(*_BOTH)
        await _take(stream, 2)
        between.target = 0
        between.cut()
        await until(lambda: not there.hall.rooms)
        there.hall.deliver([tick(seq=seq) for seq in range(2, 500)])
        there.hall.deliver([tick("IBM", 2)])
        between.target = there.port
        heard = await _take(stream, 3)
        of_aapl = [each for each in heard if each.symbol == "AAPL"]  # type: ignore[union-attr]
        assert of_aapl[0] == Gap(symbol="AAPL", kind=None, reason="not_recovered", epoch="e1", after_seq=1)
        assert _told(of_aapl) == [(Price, "AAPL", 499)]
        assert [each for each in _told(heard) if each[1] == "IBM"] == [(Price, "IBM", 2)]
        there.hall.deliver([tick(seq=500)])
        assert _told(await _take(stream, 1)) == [(Price, "AAPL", 500)]


async def test_a_flood_is_whole_or_says_where_it_is_not() -> None:
    """Cut at any moment, with more in between than the gateway keeps: what is heard adds up, or a Gap says so."""
    chance = random.Random(11)
    async with _house_behind_a_relay() as (there, between), _room(between.port) as room:
        listener = _Listener(room.stream("AAPL"))
        seq = 0
        for _ in range(60):
            for _ in range(chance.randint(1, 20)):
                records = [tick(seq=seq + step) for step in range(1, chance.randint(2, 120))]
                seq += len(records)
                there.hall.deliver(records)
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                between.cut()
            await asyncio.sleep(0.01)
        await until(lambda: listener.newest == {"AAPL": seq})
    last: int | None = None
    for message in listener.heard:
        if isinstance(message, Gap):
            last = None
            continue
        assert isinstance(message, Price)
        assert last is None or message.seq == last + 1 + message.conflated
        last = message.seq


async def test_a_gateway_that_stops_sends_its_clients_on() -> None:
    async with _house_behind_a_relay() as (there, between), house() as other, _room(between.port) as room:
        for each in (there, other):
            each.hall.deliver([tick(seq=1)])
        stream = room.stream("AAPL")
        await _take(stream, 1)
        between.target = other.port
        other.hall.deliver([tick(seq=2)])
        begun = time.monotonic()
        await there.drain.empty()
        assert _told(await _take(stream, 1)) == [(Price, "AAPL", 2)]
        assert time.monotonic() - begun >= 0.5  # the soonest that a stopping gateway asks for


# Slow readers


async def test_a_reader_that_stands_still_gets_what_was_merged_counted_and_the_newest_in_the_end() -> None:
    async with house() as there, _room(there.port, queue=4) as room:
        there.hall.deliver([tick(seq=1)])
        stream = room.stream("AAPL")
        assert _told(await _take(stream, 1)) == [(Price, "AAPL", 1)]
        rounds = 30_000
        for seq in range(2, rounds + 1):
            there.hall.deliver([tick(seq=seq)])
            if seq % 100 == 0:
                await asyncio.sleep(0)
        frames = merged = newest = 0
        async with asyncio.timeout(60):
            while newest < rounds:
                message = await anext(stream)
                assert isinstance(message, Price)
                frames, merged, newest = frames + 1, merged + message.conflated, message.seq
        assert frames + merged == rounds - 1
        assert frames < rounds / 2


async def test_a_rate_that_was_asked_for_is_kept_over_a_broken_wire() -> None:
    async with _house_behind_a_relay() as (there, between), _room(between.port) as room:
        there.hall.deliver([tick(seq=1)])
        stream = room.stream("AAPL")
        stream.set_rate(1000)
        listener = _Listener(stream)
        await until(lambda: listener.newest == {"AAPL": 1})
        for seq in range(2, 3001):
            there.hall.deliver([tick(seq=seq)])
            if seq % 10 == 0:
                await asyncio.sleep(0)
            if seq == 1500:
                await until(lambda: listener.newest == {"AAPL": 1500})
                between.cut()
            if seq == 1501:  # heard over the new wire
                await until(lambda: listener.newest == {"AAPL": 1501})
        await until(lambda: listener.newest == {"AAPL": 3000})
        assert listener.gaps == []
        heard = [each for each in listener.heard if isinstance(each, Price)]
        assert sum(1 + each.conflated for each in heard) == 3000
        assert len(heard) < 2500


# Tokens


class _Office:
    """Gives out tokens of u1 that live so many seconds, each of a login of its own: s1, s2 ..."""

    def __init__(self, there: House, *lives_s: int) -> None:
        self.asked: list[str | None] = []
        self._there = there
        self._lives_s = list(lives_s)

    async def __call__(self, old: str | None) -> str:
        self.asked.append(old)
        return self._there.token(sid=f"s{len(self.asked)}", exp=int(time.time()) + self._lives_s.pop(0))


def _end_of(session_id: str) -> Revocation:
    return Revocation(id="r", user_id="u1", session_id=session_id, version=0, timestamp="2024-09-21T14:23:00Z")


async def test_a_token_is_renewed_before_it_expires_and_replaced_when_it_is_revoked() -> None:
    async with _house_behind_a_relay(anonymous_market_data=False) as (there, between):
        there.hall.deliver([tick("AAPL", 1), tick("IBM", 1)])
        office = _Office(there, 30, 900, 900)  # the first one is about to expire
        async with _room(between.port, token=office) as room:
            stream = room.stream("AAPL")
            await _take(stream, 1)
            await until(lambda: len(office.asked) == 2)
            stream.subscribe("IBM")  # what is said behind the token is answered behind it
            assert _told(await _take(stream, 1)) == [(Price, "IBM", 1)]
            there.revocations.note(_end_of("s1"))  # of the old token
            there.hall.deliver([tick("AAPL", 2)])
            assert _told(await _take(stream, 1)) == [(Price, "AAPL", 2)]
            assert between.connections == 1
            there.revocations.note(_end_of("s2"))
            await until(lambda: between.connections == 2)
            there.hall.deliver([tick("AAPL", 3)])
            assert _told(await _take(stream, 1)) == [(Price, "AAPL", 3)]
        assert [old is not None for old in office.asked] == [False, True, True]


async def test_a_token_without_a_successor_ends_the_stream() -> None:
    async with house(anonymous_market_data=False) as there:
        there.hall.deliver([tick(seq=1)])
        async with _room(there.port, token=there.token(sid="s1")) as room:
            stream = room.stream("AAPL")
            await _take(stream, 1)
            there.revocations.note(_end_of("s1"))
            with pytest.raises(Closed, match="4401 token_revoked"):
                await anext(stream)
        async with _room(there.port, token="not.a.token") as room:
            with pytest.raises(Refused, match="401 bad_token"):
                await anext(room.stream("AAPL"))


async def test_a_ticket_opens_a_room() -> None:
    async with _house_behind_a_relay(anonymous_market_data=False) as (there, between):
        there.hall.deliver([tick(seq=1)])
        users = there.front.users

        async def ticket(_old: str | None) -> str:
            session = SessionRef("u1", "s1", 1, "user", int(time.time()) + 900)
            return Ticket((await users.issue_ticket(session)).ticket)

        async with _room(between.port, token=ticket) as room:
            stream = room.stream("AAPL")
            await _take(stream, 1)
            between.cut()
            await until(lambda: between.connections == 2)
            there.hall.deliver([tick(seq=2)])
            assert _told(await _take(stream, 1)) == [(Price, "AAPL", 2)]
        assert users.tickets == {}


async def test_who_is_one_too_many_hears_why() -> None:
    async with house(max_connections_per_address=1) as there, _room(there.port) as room:
        there.hall.deliver([tick(seq=1)])
        await _take(room.stream("AAPL"), 1)
        with pytest.raises(Refused, match="429 too_many_connections"):
            await anext(room.stream("IBM"))


# Notifications


@on_either_server
async def test_notifications_come_once_in_order_and_are_marked_over_broken_wires() -> None:
    async with _house_behind_a_relay() as (there, between):
        for number in range(1, 6):
            there.mailbox.store(number)
        there.mailbox.fails = 1  # the first page
        ids = []
        async with _room(between.port, token=there.token()) as room, room.notifications("u1") as inbox:
            async for message in inbox:
                assert isinstance(message, AlertTriggered)
                ids.append(message.id)
                inbox.ack(message)
                if message.id == "n5":
                    await until(lambda: _acked(there) == {f"n{number}" for number in range(1, 6)})
                    there.mailbox.read = set(_acked(there))
                    between.cut()
                    there.hall.deliver([there.mailbox.store(6)])
                elif message.id == "n6":
                    await until(lambda: there.hall.listeners == 1)
                    there.mailbox.fails = 1  # the ack of the sixth
                    there.hall.deliver([there.mailbox.store(7), there.mailbox.store(7)])
                elif message.id == "n7":
                    break
        assert ids == [f"n{number}" for number in range(1, 8)]
        await until(lambda: "n7" in _acked(there))


def _acked(there: House) -> set[str]:
    return {each for _, ids, _ in there.mailbox.acks for each in ids}


async def test_the_room_of_somebody_else_is_closed() -> None:
    async with house() as there, _room(there.port, token=there.token("u2")) as room:
        with pytest.raises(Refused, match="403") as refused:
            await anext(room.notifications("u1"))
        assert refused.value.request_id


# The whole house


async def test_a_person_at_a_running_system(tmp_path: Path) -> None:
    """Prices of the replay, a signal, and the alert that was asked for, with tokens of a login that are refreshed."""
    async with embedded(tmp_path, REPLAY_RATE="100", ACCESS_TOKEN_TTL_S="61") as (_, base):
        ada = await register(base)
        logins: list[dict[str, Any]] = []

        async def token(_old: str | None) -> str:
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=15) as http:
                if logins:
                    form = {"grant_type": "refresh_token", "refresh_token": logins[-1]["refresh_token"]}
                    reply = await http.post("/api/v1/token", data=form)
                else:
                    reply = await http.post("/api/users/login", json={"email": "ada@example.org", "password": PASSWORD})
            logins.append(reply.raise_for_status().json())
            return str(logins[-1]["access_token"])

        created = await ada.alert("AAPL", "greater_than", 1.0)
        async with Tickroom(base, token=token, proxy=None) as room, asyncio.timeout(60):
            inbox = room.notifications(ada.user_id)
            notice = await anext(inbox)
            assert isinstance(notice, AlertTriggered)
            assert notice.alert_id == created["id"]
            inbox.ack(notice)
            listener = _Listener(room.stream("AAPL", "MSFT"))
            await until(lambda: bool(listener.predictions("AAPL")) and len(listener.seqs("MSFT")) > 20)
            await until(lambda: len(logins) > 1)  # a second after it was given, it is about to expire
            assert listener.gaps == []
            for symbol in ("AAPL", "MSFT"):
                seqs = listener.seqs(symbol)
                assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=15) as http:
            unread = await http.get("/api/v1/notifications?unread=true", headers=ada.headers)
        assert notice.id not in {each["id"] for each in unread.json()["items"]}
