"""Coming in, staying and being shown out, as clients on a real server see it."""

import asyncio
import json
import logging
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from services.gateway.backends import Revocation, SessionRef
from tests.unit.gateway.frames import tick
from tests.unit.gateway.serving import until
from tests.unit.gateway.socket_house import House, closed, house, on_either_server, refused, told

MINE = "/websocket/user/u1/notifications"
STOCK = "/websocket/stock/AAPL"
EXTENDED = Subprotocol("tickroom.v1")


def page(there: House, path: str = STOCK, *, token: str | None = None, **options: Any) -> connect:
    """A browser: with an origin, and its token as a subprotocol."""
    offered = [EXTENDED] if token is None else [EXTENDED, Subprotocol(f"bearer.{token}")]
    return there.enter(path, origin=there.own_origin, subprotocols=offered, **options)


def ended(session_id: str = "", *, version: int = 2) -> Revocation:
    return Revocation(id="r", user_id="u1", session_id=session_id, version=version, timestamp="2024-09-21T14:23:00Z")


async def quiet(client: ClientConnection) -> bool:
    """Is it open, with nothing more to say?"""
    try:
        await asyncio.wait_for(client.recv(), 0.1)
    except TimeoutError:
        return True
    return False


# Coming in


@on_either_server
@pytest.mark.parametrize("path", [STOCK, "/websocket/stocks/all", MINE])
async def test_a_ticket_opens_any_room_of_its_user_once(path: str) -> None:
    async with house() as there:
        ticket = (
            await there.front.users.issue_ticket(SessionRef("u1", "s1", 1, "user", int(time.time()) + 900))
        ).ticket
        async with there.enter(f"{path}?ticket={ticket}") as client:
            assert await quiet(client)
        assert await refused(there.enter(f"{path}?ticket={ticket}")) == (401, "bad_ticket")
        async with page(there, f"{path}?ticket={ticket}") as late:
            assert await closed(late) == (4401, "bad_ticket")


@on_either_server
@pytest.mark.parametrize("path", [STOCK, "/websocket/stocks/all", MINE])
async def test_a_token_in_the_address_is_refused_by_every_room(path: str) -> None:
    async with house() as there:
        for name in ("token", "access_token", "jwt", "t"):
            address = f"{path}?{name}={there.token()}"
            assert await refused(there.enter(address)) == (401, "bad_token")
            async with page(there, address) as client:
                assert await closed(client) == (4401, "bad_token")
            assert await refused(there.enter(address, token=there.token())) == (401, "bad_token")


@on_either_server
async def test_several_credentials_are_suspicious() -> None:
    async with house() as there:
        token = there.token()
        offered = [EXTENDED, Subprotocol(f"bearer.{token}")]
        assert await refused(there.enter(STOCK, token=token, subprotocols=offered)) == (401, "bad_token")
        async with page(there, f"{STOCK}?ticket=x", token=token) as client:
            assert await closed(client) == (4401, "bad_token")


@on_either_server
async def test_a_page_that_is_turned_away_sees_why_also_when_it_offered_subprotocols() -> None:
    async with house() as there:
        for path, token, expected in (
            (STOCK, "nonsense", (4401, "bad_token")),
            (STOCK, there.token(exp=1), (4401, "token_expired")),
            ("/websocket/stock/NOPE", None, (4404, "unknown_symbol")),
            (MINE, there.token("u2"), (4403, "forbidden")),
            ("/websocket/user/nobody/notifications", there.token("u2"), (4403, "forbidden")),
            ("/websocket/nowhere", None, (4404, "unknown_path")),
        ):
            async with page(there, path, token=token) as client:
                assert client.subprotocol == EXTENDED
                assert await closed(client) == expected


@on_either_server
async def test_a_page_with_other_subprotocols_gets_none_of_them() -> None:
    async with house() as there:
        there.hall.deliver([tick("AAPL", 1)])
        async with there.enter(origin=there.own_origin, subprotocols=[Subprotocol("chat")]) as client:
            assert client.subprotocol is None
            assert list((await told(client, 1))[0]) == ["type", "symbol", "price", "timestamp"]


async def test_no_token_stands_in_the_log_whatever_happens_to_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tickroom")
    async with house() as there:
        bad, good = there.token(exp=1), there.token()
        for entering in (
            there.enter(token=bad),
            there.enter(f"{STOCK}?token={good}"),
            there.enter(f"{MINE}?ticket={bad}"),
        ):
            with pytest.raises(InvalidStatus) as failure:
                await entering
            assert "eyJ" not in bytes(failure.value.response.body).decode()
            assert "eyJ" not in str(failure.value.response.headers)
        async with page(there, token=good) as client:
            await client.send(json.dumps({"type": "auth", "token": bad}))
            assert (await closed(client))[0] == 4401
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("tickroom", "uvicorn"))]
    assert not [line for line in ours if "eyJ" in line]


# How many


@on_either_server
async def test_over_a_limit_the_new_one_is_refused_and_the_others_stay() -> None:
    async with house(max_connections_per_user=2) as there:
        async with there.enter(token=there.token()) as first, page(there, MINE, token=there.token(sid="s2")) as second:
            assert await refused(there.enter(token=there.token())) == (429, "too_many_connections")
            async with page(there, token=there.token()) as third:
                assert await closed(third) == (4409, "too_many_connections")
            async with there.enter(token=there.token("u2")), there.enter():
                assert await quiet(first)
                assert await quiet(second)
        await until(lambda: there.drain.sockets == 0)
        async with there.enter(token=there.token()) as again:
            assert await quiet(again)
    async with house(max_connections_per_address=3) as there, AsyncExitStack() as inside:
        for _ in range(3):
            await inside.enter_async_context(there.enter())
        assert await refused(there.enter(token=there.token())) == (429, "too_many_connections")


@on_either_server
async def test_who_is_known_later_counts_later() -> None:
    async with house(max_connections_per_user=1) as there, there.enter(token=there.token()):
        for path in (STOCK, MINE):
            async with page(there, path) as client:
                await client.send(json.dumps({"type": "auth", "token": there.token()}))
                assert await closed(client) == (4409, "too_many_connections")


@on_either_server
async def test_a_storm_is_let_in_at_a_bounded_rate() -> None:
    async with house(max_handshakes_per_second=1) as there, there.enter() as first:
        with pytest.raises(InvalidStatus) as failure:
            await there.enter()
        answer = failure.value.response
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert json.loads(bytes(answer.body))["code"] == "busy"
        async with page(there) as second:
            code, reason = await closed(second)
        assert code == 1013
        assert reason.startswith("busy retry_after_ms=")
        assert await quiet(first)


# How long


async def test_a_token_is_warned_of_and_ends_the_socket_unless_a_fresh_one_comes() -> None:
    async with house() as there:
        soon = int(time.time()) + 4
        async with (
            page(there, token=there.token(exp=soon)) as extended,
            page(there, token=there.token(exp=soon)) as renewed,
            there.enter(MINE, token=there.token(exp=soon)) as plain,
        ):
            for each in (extended, renewed):
                warning = (await told(each, 1))[0]
                assert warning["type"] == "token_expiring"
                assert 0 <= warning["in_s"] <= 4
            await renewed.send(json.dumps({"type": "auth", "token": there.token(), "id": "7"}))
            assert await told(renewed, 1) == [{"type": "authenticated", "id": "7"}]
            assert await closed(extended) == (4401, "token_expired")
            assert await closed(plain) == (4401, "token_expired")
            assert await quiet(renewed)


@on_either_server
@pytest.mark.parametrize("path", [STOCK, MINE])
async def test_only_the_same_user_can_renew(path: str) -> None:
    async with house() as there, page(there, path, token=there.token()) as client:
        await client.send(json.dumps({"type": "auth", "token": there.token("u2")}))
        assert await closed(client) == (4403, "forbidden")


@on_either_server
async def test_a_logout_closes_that_logins_sockets_at_once() -> None:
    async with (
        house() as there,
        there.enter(token=there.token()) as market,
        page(there, MINE, token=there.token()) as own,
        there.enter(MINE, token=there.token(sid="s2")) as other,
        there.enter(MINE, token=there.token(sid="s3", version=2)) as newer,
        there.enter() as anonymous,
    ):
        await until(lambda: there.drain.sockets == 5)
        there.revocations.note(ended("s1", version=1))
        for each in (market, own):
            assert await closed(each) == (4401, "token_revoked")
        assert await quiet(other)
        there.revocations.note(ended())
        assert await closed(other) == (4401, "token_revoked")
        assert await quiet(newer)
        assert await quiet(anonymous)


@on_either_server
@pytest.mark.parametrize("path", [STOCK, MINE])
async def test_who_joins_while_the_login_ends_is_closed_without_any_event(path: str) -> None:
    async with house() as there:
        there.front.users.revoked.append(ended("s1"))
        async with there.enter(path, token=there.token()) as client:
            assert await closed(client) == (4401, "token_revoked")


# The end


@on_either_server
async def test_everybody_is_shown_out_and_newcomers_are_sent_on() -> None:
    async with house() as there, there.enter() as first, page(there, MINE, token=there.token()) as second:
        await until(lambda: there.drain.sockets == 2)
        await there.drain.empty()
        for each in (first, second):
            code, reason = await closed(each)
            assert code == 4503
            assert reason.startswith("retry_after_ms=")
        with pytest.raises(InvalidStatus) as failure:
            await there.enter()
        answer = failure.value.response
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert json.loads(bytes(answer.body))["code"] == "draining"
        async with page(there) as late:
            assert (await closed(late))[0] == 4503


async def test_places_and_watches_are_given_back_by_whoever_leaves() -> None:
    async with house() as there:
        for _ in range(3):
            async with there.enter(token=there.token()), page(there, MINE, token=there.token()):
                await until(lambda: there.drain.sockets == 2)
            await until(lambda: there.drain.sockets == 0)
        assert (len(there.reception.crowd), len(there.reception.sessions)) == (0, 0)
