"""Who may come in, how long, and how all are shown out: on running systems, one and several gateways."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.e2e.house import PASSWORD, Four, Person, Process, embedded, four, login, process, register
from tests.servers.kafka import KafkaServer
from tests.servers.process import free_port

STOCK = "/websocket/stock/AAPL"
EXTENDED = Subprotocol("tickroom.v1")


def program(base: str, path: str, token: str | None = None, **headers: str) -> connect:
    """A client that sets headers."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return connect(f"{base.replace('http', 'ws', 1)}{path}", additional_headers=headers, proxy=None, max_queue=None)


def page(base: str, path: str, token: str | None = None) -> connect:
    """A browser: it has an origin, can't set headers, and offers its token as a subprotocol."""
    offered = [EXTENDED] if token is None else [EXTENDED, Subprotocol(f"bearer.{token}")]
    url = f"{base.replace('http', 'ws', 1)}{path}"
    return connect(url, origin=Origin(base), subprotocols=offered, proxy=None, max_queue=None)


def mine(person: Person) -> str:
    return f"/websocket/user/{person.user_id}/notifications"


async def refused(entering: connect) -> tuple[int, str]:
    """Status and code of the problem that came instead of the handshake."""
    with pytest.raises(InvalidStatus) as failure:
        await entering
    return failure.value.response.status_code, json.loads(bytes(failure.value.response.body))["code"]


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Code and reason, once it was closed by the other side."""
    with suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            while True:
                await client.recv()
    return client.close_code or 0, client.close_reason or ""


async def is_open(client: ClientConnection) -> bool:
    return await asyncio.wait_for(await client.ping(), 10) >= 0


async def ask(person: Person, method: str, path: str, base: str = "", **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=base or person.base, trust_env=False, timeout=15) as http:
        return await http.request(method, path, json=body or None, headers=person.headers)


async def ticket(person: Person) -> str:
    answer = await ask(person, "POST", "/api/v1/ws-tickets")
    assert answer.status_code == 201, answer.text
    assert answer.json()["expires_in"] == 30
    return str(answer.json()["ticket"])


async def test_programs_pages_and_tickets_come_in_and_a_password_change_shows_them_out(tmp_path: Path) -> None:
    async with embedded(tmp_path, REPLAY_RATE="5", MAX_CONNECTIONS_PER_USER="4") as (running, base):
        ada, again = await register(base), await login(base)
        grace = await register(base, "grace@example.org")
        once = await ticket(ada)
        async with (
            program(base, mine(ada), ada.token) as by_header,
            page(base, mine(ada), ada.token) as by_subprotocol,
            program(base, f"{STOCK}?ticket={once}") as by_ticket,
            page(base, mine(ada)) as by_message,
            program(base, mine(grace), grace.token) as other,
        ):
            assert by_subprotocol.subprotocol == EXTENDED
            await by_message.send(json.dumps({"type": "auth", "token": again.token, "id": "1"}))
            assert json.loads(await by_message.recv()) == {"type": "authenticated", "id": "1"}
            assert await refused(program(base, f"{STOCK}?ticket={once}")) == (401, "bad_ticket")
            assert await refused(program(base, f"{STOCK}?token={ada.token}")) == (401, "bad_token")
            assert await refused(program(base, mine(ada), grace.token)) == (403, "forbidden")
            assert await refused(program(base, mine(ada))) == (401, "token_missing")
            assert await refused(program(base, STOCK, **{"X-Forwarded-For": "203.0.113.7"})) == (403, "forwarded")
            assert await refused(program(base, STOCK, ada.token)) == (429, "too_many_connections")
            async with page(base, STOCK, ada.token) as one_too_many:
                assert await closed(one_too_many) == (4409, "too_many_connections")
            change = {"password": "a better one, much longer", "current_password": PASSWORD}
            assert (await ask(ada, "PATCH", "/api/users/profile/update", **change)).status_code == 200
            for each in (by_header, by_subprotocol, by_ticket, by_message):
                assert await closed(each) == (4401, "token_revoked")
            assert await is_open(other)
        for worthless in (ada, again):
            assert (await ask(worthless, "GET", "/api/users/profile")).status_code == 401
            assert await refused(program(base, STOCK, worthless.token)) == (401, "token_revoked")
        for token in (ada.token, again.token, grace.token, once):
            assert token not in running.text()


async def test_a_strict_door_behind_a_proxy(tmp_path: Path) -> None:
    made = {"DATA_DIR": str(tmp_path / "data"), "OPERATOR_PASSWORD": PASSWORD}
    with process("services.users create-operator root@example.org", tmp_path / "operator.log", made) as operator:
        await asyncio.to_thread(operator.handle.wait, 60)
    assert operator.handle.returncode == 0, operator.text()
    strict = {
        "AUTH_MODE": "strict",
        "ANONYMOUS_MARKET_DATA": "false",
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "MAX_CONNECTIONS_PER_ADDRESS": "1",
    }
    async with embedded(tmp_path, **strict) as (_, base):
        root, ada = await login(base, "root@example.org"), await register(base)
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=15) as http:
            assert (await http.get("/tickers")).status_code == 401
            assert (await http.get("/metrics")).status_code == 401
            assert (await http.get("/metrics", headers=ada.headers)).status_code == 403
            assert (await http.get("/metrics", headers=root.headers)).status_code == 200
            assert (await http.get("/tickers", headers=ada.headers)).status_code == 200
            assert (await http.get("/health/ready")).json() == {"status": "ready"}
            assert (await http.get("/health", headers={"Host": "evil.example"})).status_code == 421
        assert await refused(program(base, STOCK)) == (401, "token_missing")
        forwarded = {f"203.0.113.{number}": {"X-Forwarded-For": f"203.0.113.{number}"} for number in (7, 8)}
        async with (
            program(base, STOCK, ada.token, **forwarded["203.0.113.7"]) as one,
            program(base, STOCK, ada.token, **forwarded["203.0.113.8"]) as other,
        ):
            same = program(base, STOCK, ada.token, **forwarded["203.0.113.7"])
            assert await refused(same) == (429, "too_many_connections")
            assert await is_open(one)
            assert await is_open(other)
        tls = {"X-Forwarded-Proto": "https"}
        foreign = program(base, STOCK, ada.token, Origin=base, **tls)
        assert await refused(foreign) == (403, "foreign_origin")
        async with program(base, STOCK, ada.token, Origin=base.replace("http", "https", 1), **tls) as client:
            assert await is_open(client)


async def test_a_stop_says_goodbye_one_by_one(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path, DRAIN_S="2", MAX_CONNECTIONS_PER_ADDRESS="0") as (running, base),
        AsyncExitStack() as inside,
    ):
        clients = [await inside.enter_async_context(program(base, STOCK)) for _ in range(20)]
        ends = [asyncio.create_task(closed(client)) for client in clients]
        stopping = asyncio.create_task(asyncio.to_thread(running.terminate))
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=5) as http, asyncio.timeout(10):
            while (answer := await http.get("/health/ready")).status_code == 200:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        assert answer.json()["status"] == "draining"
        assert await refused(program(base, STOCK)) == (503, "draining")
        async with page(base, STOCK) as late:
            assert (await closed(late))[0] == 4503
        assert not all(end.done() for end in ends)
        goodbyes = await asyncio.gather(*ends)
        assert {code for code, _ in goodbyes} == {4503}
        assert len({reason for _, reason in goodbyes}) > 10
        assert all(reason.startswith("retry_after_ms=") for _, reason in goodbyes)
        await stopping
    assert running.handle.returncode == 0
    assert "Traceback" not in running.text()
    assert "ERROR" not in running.text()


async def another_gateway(houses: Four, instance: str) -> tuple[Process, str]:
    port = free_port()
    running = houses.start("gateway", instance, PORT=str(port))
    await running.says("listening on")
    return running, f"http://127.0.0.1:{port}"


@pytest.mark.apache_kafka
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_several_gateways_agree(
    tmp_path: Path, empty_apache_kafka: KafkaServer, postgres_url: str, redis_url: str
) -> None:
    settings = {"REPLAY_RATE": "5", "REPLICAS": "2", "MAX_CONNECTIONS_PER_USER": "3", "DRAIN_S": "1"}
    async with four(tmp_path, empty_apache_kafka, postgres_url, redis_url, **settings) as (houses, _):
        here = houses.base
        leaving, there = await another_gateway(houses, "2")
        ada = await register(here)
        other, third = await login(here), await login(here)
        await _a_ticket_is_used_up_everywhere(here, there, ada)
        await _logouts_end_everywhere(here, there, ada, other, third)

        _, later = await another_gateway(houses, "3")  # it heard none of those logouts
        assert await refused(program(later, STOCK, third.token)) == (401, "token_revoked")
        newest = await login(later)
        async with program(there, STOCK, newest.token) as moving, program(here, STOCK, newest.token) as staying:
            stopping = asyncio.create_task(asyncio.to_thread(leaving.terminate))
            code, reason = await closed(moving)
            assert code == 4503
            assert reason.startswith("retry_after_ms=")
            async with program(later, STOCK, newest.token) as moved:
                assert await is_open(moved)
                assert await is_open(staying)
            await stopping
    assert leaving.handle.returncode == 0


async def _a_ticket_is_used_up_everywhere(here: str, there: str, ada: Person) -> None:
    once = await ticket(ada)
    async with program(there, f"{mine(ada)}?ticket={once}") as client:
        assert await is_open(client)
        for base in (here, there):
            assert await refused(program(base, f"{mine(ada)}?ticket={once}")) == (401, "bad_ticket")


async def _logouts_end_everywhere(here: str, there: str, ada: Person, other: Person, third: Person) -> None:
    """And what one gateway lets in counts at the other."""
    async with (
        program(here, mine(ada), ada.token) as first,
        page(there, STOCK, ada.token) as second,
        program(there, mine(ada), other.token) as stays,
    ):
        for base in (here, there):
            assert await refused(program(base, STOCK, third.token)) == (429, "too_many_connections")
        assert (await ask(ada, "POST", "/api/v1/logout")).status_code == 204
        for each in (first, second):
            assert await closed(each) == (4401, "token_revoked")
        for base in (here, there):
            assert (await ask(ada, "GET", "/api/users/profile", base)).status_code == 401
            assert await refused(program(base, STOCK, ada.token)) == (401, "token_revoked")
        async with program(here, mine(ada), third.token) as also:
            assert await is_open(stays)
            assert (await ask(third, "POST", "/api/v1/logout", there, everywhere=True)).status_code == 204
            for each in (stays, also):
                assert await closed(each) == (4401, "token_revoked")
