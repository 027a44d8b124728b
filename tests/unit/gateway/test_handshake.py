"""Who knocks, by each way to say so, and who is refused."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message
from starlette.websockets import WebSocket

from services.gateway.backends import SessionRef
from services.gateway.config import Settings
from services.gateway.handshake import Handshake, Visitor
from services.gateway.http.admission import Admission
from services.gateway.replies import close_reason, problem
from services.gateway.tokens import Verifier
from services.shared.errors import TickroomError, Unauthenticated, Unavailable
from tests.unit.gateway.account_fakes import KEY
from tests.unit.gateway.http_fakes import FakeUsers

CALLER = SessionRef("u1", "s1", 1, "user", 4_000_000_000)


def at_the_door(
    query: str = "", *, offered: Sequence[str] = (), token: str | None = None, headers: Sequence[tuple[str, str]] = ()
) -> WebSocket:
    """A WebSocket that has not been accepted yet. offered: subprotocols; token: of the Authorization header."""
    given = [*headers, *([] if token is None else [("authorization", f"Bearer {token}")])]
    scope: dict[str, Any] = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/websocket/stock/AAPL",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given],
        "subprotocols": list(offered),
        "client": ("192.0.2.7", 50_000),
    }

    async def receive() -> Message:
        raise AssertionError("nothing is read before the handshake")

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is sent while greeting")

    return WebSocket(scope, receive, send)


class Door:
    """A handshake on fakes. settings: named as in the environment, in lower case."""

    def __init__(self, **settings: Any) -> None:
        self.users = FakeUsers()
        known = Settings(_env_file=None, **settings)
        self.handshake = Handshake(known, Admission(known), Verifier(self.users), self.users)
        self.token = self.users.token(exp=CALLER.expires_at)

    async def greet(self, websocket: WebSocket, *, private: bool = False) -> Visitor:
        return await self.handshake.greet(websocket, private=private)

    async def refuses(self, websocket: WebSocket, *, private: bool = False) -> str:
        """The code of the refusal, which never shows a token."""
        with pytest.raises(TickroomError) as refused:
            await self.greet(websocket, private=private)
        shown = f"{refused.value!r} {refused.value.detail} {close_reason(refused.value)}"
        shown += bytes(problem(refused.value, request_id="r", instance="/").body).decode()
        assert "eyJ" not in shown
        return refused.value.code


async def test_the_plain_profile_is_what_one_gets_without_asking() -> None:
    visitor = await Door().greet(at_the_door())
    assert visitor == Visitor(None, "192.0.2.7", extended=False, subprotocol=None, hold=False, owes_token=False)


@pytest.mark.parametrize("private", [False, True])
async def test_programs_say_it_in_a_header(private: bool) -> None:
    door = Door()
    visitor = await door.greet(at_the_door(token=door.token), private=private)
    assert visitor == Visitor(CALLER, "192.0.2.7", extended=False, subprotocol=None, hold=False, owes_token=False)


@pytest.mark.parametrize("private", [False, True])
async def test_pages_say_it_in_the_subprotocol_which_is_never_echoed(private: bool) -> None:
    door = Door()
    for offered in (["tickroom.v1", f"bearer.{door.token}"], [f"Bearer.{door.token}", "tickroom.v1", "other"]):
        visitor = await door.greet(at_the_door(offered=offered), private=private)
        assert visitor.caller == CALLER
        assert (visitor.subprotocol, visitor.extended, visitor.owes_token) == ("tickroom.v1", True, False)


async def test_a_ticket_lets_in_once() -> None:
    door = Door()
    ticket = (await door.users.issue_ticket(CALLER)).ticket
    visitor = await door.greet(at_the_door(f"ticket={ticket}"), private=True)
    assert visitor.caller == CALLER
    assert await door.refuses(at_the_door(f"ticket={ticket}")) == "bad_ticket"


@pytest.mark.parametrize("ticket", ["", "nonsense", "x" * 1000])
async def test_a_bad_ticket_is_refused_also_where_none_is_needed(ticket: str) -> None:
    assert await Door().refuses(at_the_door(f"ticket={ticket}")) == "bad_ticket"


async def test_a_ticket_that_can_not_be_looked_up_is_no_bad_one() -> None:
    door = Door()
    door.users.fails = Unavailable("users can't be reached")
    assert await door.refuses(at_the_door("ticket=t")) == "unavailable"


async def test_extended_clients_may_say_auth_first_where_a_token_is_due() -> None:
    for websocket in (at_the_door(offered=["tickroom.v1"]), at_the_door("profile=ext")):
        visitor = await Door().greet(websocket, private=True)
        assert (visitor.caller, visitor.owes_token) == (None, True)
        visitor = await Door(anonymous_market_data=False).greet(websocket, private=False)
        assert (visitor.caller, visitor.owes_token) == (None, True)
        visitor = await Door().greet(websocket, private=False)
        assert (visitor.caller, visitor.owes_token) == (None, False)


async def test_without_any_credential_the_plain_profile_is_refused_where_one_is_due() -> None:
    assert await Door().refuses(at_the_door(), private=True) == "token_missing"
    assert await Door(anonymous_market_data=False).refuses(at_the_door()) == "token_missing"
    assert await Door(anonymous_market_data=False).refuses(at_the_door(offered=["other"])) == "token_missing"


@pytest.mark.parametrize("query", ["", "profile=ext"])
@pytest.mark.parametrize("private", [False, True])
async def test_a_bad_token_is_refused_everywhere(query: str, private: bool) -> None:
    door = Door()
    for bad, code in (("nonsense", "bad_token"), ("", "bad_token"), (door.users.token(exp=1), "token_expired")):
        assert await door.refuses(at_the_door(query, offered=[f"bearer.{bad}"]), private=private) == code
        assert await door.refuses(at_the_door(query, token=bad), private=private) == code
    odd = at_the_door(query, headers=[("authorization", "Basic YTpi")])
    assert await door.refuses(odd, private=private) == "bad_token"


@pytest.mark.parametrize("name", ["token", "access_token", "Access_Token", "jwt", "bearer", "authorization", "api_key"])
async def test_a_token_in_the_address_is_refused_also_a_good_one(name: str) -> None:
    door = Door()
    assert await door.refuses(at_the_door(f"{name}={door.token}")) == "bad_token"
    assert await door.refuses(at_the_door(f"{name}={door.token}", token=door.token), private=True) == "bad_token"
    assert await door.refuses(at_the_door(f"{name}=short", offered=["tickroom.v1"])) == "bad_token"


@pytest.mark.parametrize("query", ["t={}", "ticket={}", "profile=ext&x=Bearer%20{}", "profile={}", "ticket=%20{}%20"])
async def test_what_looks_like_a_token_is_refused_under_any_name(query: str) -> None:
    door = Door()
    assert await door.refuses(at_the_door(query.format(door.token))) == "bad_token"


async def test_several_credentials_are_refused_also_good_ones() -> None:
    door = Door()
    ticket = (await door.users.issue_ticket(CALLER)).ticket
    bearer = f"bearer.{door.token}"
    for websocket in (
        at_the_door(offered=["tickroom.v1", bearer], token=door.token),
        at_the_door(offered=["tickroom.v1", bearer, bearer]),
        at_the_door(f"ticket={ticket}", token=door.token),
        at_the_door(f"ticket={ticket}", offered=["tickroom.v1", bearer]),
        at_the_door(f"ticket={ticket}&ticket={ticket}"),
        at_the_door(token=door.token, headers=[("authorization", f"Bearer {door.token}")]),
    ):
        assert await door.refuses(websocket) == "bad_token"
    assert ticket in door.users.tickets


async def test_other_subprotocols_mean_the_plain_profile_and_none_is_selected() -> None:
    door = Door()
    visitor = await door.greet(at_the_door(offered=["graphql-ws", f"bearer.{door.token}"]))
    assert (visitor.extended, visitor.subprotocol, visitor.caller) == (False, None, CALLER)


@pytest.mark.parametrize(
    ("query", "offered", "extended", "hold"),
    [
        ("profile=ext", [], True, False),
        ("profile=plain", [], False, False),
        ("profile=ext&resume=1", [], True, True),
        ("resume=1", ["tickroom.v1"], True, True),
        ("resume=0", ["tickroom.v1"], True, False),
        ("resume=1", [], False, False),
    ],
)
async def test_the_profile_and_whether_to_hold_back(query: str, offered: list[str], extended: bool, hold: bool) -> None:
    visitor = await Door().greet(at_the_door(query, offered=offered))
    assert (visitor.extended, visitor.hold) == (extended, hold)
    assert visitor.subprotocol == ("tickroom.v1" if offered else None)


async def test_who_is_sent_away_for_now_keeps_the_ticket() -> None:
    door = Door()
    known = Settings(_env_file=None)

    def closed() -> None:
        raise Unavailable("come back later", code="busy")

    handshake = Handshake(known, Admission(known), Verifier(door.users), door.users, closed)
    ticket = (await door.users.issue_ticket(CALLER)).ticket
    with pytest.raises(Unavailable, match="come back later"):
        await handshake.greet(at_the_door(f"ticket={ticket}"), private=False)
    assert ticket in door.users.tickets


async def test_limits_count_the_address_that_a_trusted_proxy_names() -> None:
    door = Door(auth_mode="strict", trusted_proxies="192.0.2.0/24")
    visitor = await door.greet(at_the_door(headers=[("x-forwarded-for", "198.51.100.9")]))
    assert visitor.address == "198.51.100.9"


async def test_no_token_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    door = Door()
    bad = door.users.token(exp=1)
    for websocket in (
        at_the_door(token=bad),
        at_the_door(f"token={bad}"),
        at_the_door(offered=["tickroom.v1", f"bearer.{bad}"]),
        at_the_door(f"ticket={bad}"),
    ):
        with pytest.raises(Unauthenticated):
            await door.greet(websocket)
    visitor = await door.greet(at_the_door(token=door.token))
    assert "eyJ" not in caplog.text + repr(visitor)


# -- API keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "private", "code"),
    [
        ("read", False, ""),
        ("read", True, ""),
        ("alerts", True, ""),
        ("alerts", False, "scope_missing"),
        ("account", False, "scope_missing"),
        ("account", True, "scope_missing"),
    ],
)
async def test_programs_may_show_an_api_key_with_the_right_scope(scope: str, private: bool, code: str) -> None:
    door = Door()
    websocket = at_the_door(headers=[(name.lower(), value) for name, value in door.users.holds(scope).items()])
    if code:
        assert await door.refuses(websocket, private=private) == code
    else:
        visitor = await door.greet(websocket, private=private)
        assert visitor.caller == door.users.holders[KEY]


async def test_a_bad_api_key_is_refused_also_where_none_is_needed() -> None:
    assert await Door().refuses(at_the_door(headers=[("x-api-key", KEY)])) == "bad_api_key"
    assert await Door().refuses(at_the_door(headers=[("x-api-key", "x")])) == "bad_api_key"


@pytest.mark.parametrize("other", ["token", "subprotocol", "ticket", "key"])
async def test_an_api_key_comes_alone(other: str) -> None:
    door = Door()
    shown = [(name.lower(), value) for name, value in door.users.holds("read").items()]
    websocket = at_the_door(
        "ticket=t" if other == "ticket" else "",
        offered=["tickroom.v1", f"bearer.{door.token}"] if other == "subprotocol" else [],
        token=door.token if other == "token" else None,
        headers=shown * 2 if other == "key" else shown,
    )
    assert await door.refuses(websocket) == "bad_token"
