"""A wire that breaks again and again under 1,000 ticks/s: every message once and in order, or an honest gap."""

import random
from pathlib import Path

import pytest

from tests.e2e.follower import ROOM, Follower, break_wire, extended, hear, listening, until_heard, whole
from tests.e2e.house import embedded

REPLAY = {"REPLAY_START": "2003-01-02", "REPLAY_RATE": "1000", "MAX_CONNECTIONS_PER_ADDRESS": "0"}
AWAY = (0, 30, 300, 900, 2500)
"""How many messages others hear while the wire is broken. The last is more than the gateway keeps."""


@pytest.mark.timeout(900)
async def test_a_client_killed_and_resumed_hears_everything_once_or_is_told(tmp_path: Path, full: bool) -> None:
    kills = 200 if full else 20
    chance = random.Random(5)
    witness, victim = Follower(), Follower()
    async with embedded(tmp_path, **REPLAY) as (running, base), listening(base, witness) as watching:
        await until_heard(witness, 1, watching)
        for number in range(kills):
            async with extended(base, ROOM, resume=number > 0) as client:
                if number:
                    await client.send(victim.resume())
                await hear(client, victim, chance.randrange(1, 400))
                await break_wire(client)
            await until_heard(witness, witness.heard + AWAY[number % len(AWAY)], watching)
        async with extended(base, ROOM, resume=True) as client:
            await client.send(victim.resume())
            ends = {symbol: at.record for symbol, at in witness.positions.items()}
            while any(at.record < ends[symbol] for symbol, at in victim.positions.items()):
                await hear(client, victim, 1)
            await until_heard(witness, victim.heard, watching)
        assert running.handle.poll() is None
        assert "Traceback" not in running.text()
    whole(victim, witness)
    assert victim.outcomes[True] > kills
    assert victim.outcomes[False] > 0
