"""Several gateways on Apache Kafka: whoever leaves one goes on at another, and one that comes later knows what was."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.e2e.follower import ROOM, Follower, Position, break_wire, extended, hear, listening, until_heard, whole
from tests.e2e.house import Four, Process, four
from tests.servers.kafka import KafkaServer
from tests.servers.process import free_port

pytestmark = [pytest.mark.apache_kafka, pytest.mark.slow, pytest.mark.timeout(300)]

PLAYED = {
    "REPLAY_START": "2010-01-04",
    "REPLAY_RATE": "400",
    "REPLAY_LOOP": "false",
    "REPLAY_DELAY_S": "10",
    "REPLICAS": "3",
    "MAX_CONNECTIONS_PER_ADDRESS": "0",
}
SYMBOLS = {"AAPL", "FB", "GOOG", "IBM", "MSFT"}
LAST_DAY = "2013-03-01"
KILLS = 24
AWAY = (0, 20, 200)
"""How many messages another client hears while the wire is broken."""
KEPT, NOT_KEPT = 250, 450
"""Records of a symbol: the gateway keeps 300."""


async def start(houses: Four, instance: str, **more: str) -> tuple[Process, str]:
    """One more gateway, and its address."""
    port = free_port()
    running = houses.start("gateway", instance, PORT=str(port), **more)
    await running.says("listening on")
    return running, f"http://127.0.0.1:{port}"


def is_through(follower: Follower) -> bool:
    """Has it heard the last bar of every symbol, and the prediction that it caused?"""
    last = follower.positions.values()
    return follower.positions.keys() == SYMBOLS and all(
        at.record == at.prediction and at.time.startswith(LAST_DAY) for at in last
    )


async def until_through(follower: Follower, watching: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        while not is_through(follower):
            assert not watching.done(), watching.exception()
            await asyncio.sleep(0.05)


async def resume(base: str, follower: Follower) -> None:
    """Goes on where it stands until it has heard the last of all."""
    async with extended(base, ROOM, resume=True) as client:
        await client.send(follower.resume())
        while not is_through(follower):
            await hear(client, follower, 1)


def stepped_back(whole: Follower, records: int) -> Follower:
    """Somebody who has heard all but so many records of each symbol, and the predictions that they caused."""
    earlier = Follower()
    for symbol in whole.positions:
        places = {
            prediction: sorted(
                key.place for key in whole.messages if (key.symbol, key.prediction) == (symbol, prediction)
            )
            for prediction in (False, True)
        }
        last = places[False][-records - 1]
        earlier.positions[symbol] = Position(last, max(place for place in places[True] if place <= last))
    return earlier


async def test_a_client_goes_on_at_another_gateway_and_at_one_that_comes_later(
    tmp_path: Path, empty_apache_kafka: KafkaServer, postgres_url: str, redis_url: str
) -> None:
    chance, victim, one, other = random.Random(3), Follower(), Follower(), Follower()
    async with four(tmp_path, empty_apache_kafka, postgres_url, redis_url, **PLAYED) as (houses, _):
        _, several = await start(houses, "2", WORKERS="2")
        third, passing = await start(houses, "3")
        bases = [houses.base, several, passing]
        async with listening(houses.base, one) as hearing, listening(several, other) as hearing_too:
            await until_heard(one, 1, hearing)
            for turn in range(KILLS):
                if turn == KILLS // 2:
                    third.kill()
                    third, bases[2] = await start(houses, "4")
                async with extended(bases[turn % 3], ROOM, resume=turn > 0) as client:
                    if turn:
                        await client.send(victim.resume())
                    await hear(client, victim, chance.randrange(1, 100))
                    await break_wire(client)
                await until_heard(one, one.heard + AWAY[turn % len(AWAY)], hearing)
            await resume(bases[KILLS % 3], victim)
            await until_through(one, hearing)
            await until_through(other, hearing_too)
        _, late = await start(houses, "5")
        near, far = stepped_back(one, KEPT), stepped_back(one, NOT_KEPT)
        missed = {
            key
            for key in one.messages
            if key.place > near.places[key.symbol][key.prediction]  # the last record, the last prediction
        }
        await resume(late, near)
        await resume(late, far)
    whole(victim, one)
    whole(victim, other)
    whole(one, other)
    whole(other, one)
    assert one.places == other.places == victim.places == near.places == far.places
    assert victim.outcomes[True] > KILLS
    assert near.messages.keys() == missed
    assert near.outcomes == {True: len(SYMBOLS)}
    assert far.outcomes == {False: len(SYMBOLS)}
