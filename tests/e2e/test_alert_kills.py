"""The users service killed at random moments under 1,000 ticks/s: nothing is told twice, nothing is lost."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.e2e.alert_house import OURS, alert_house
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer

_LONGEST_S = 1.2


@pytest.mark.apache_kafka
@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_killed_at_random_moments_every_rule_fires_as_if_nothing_had_happened(
    tmp_path: Path,
    empty_apache_kafka: KafkaServer,
    postgres_server: PostgresServer,
    full: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chance, kills = random.Random(11), 100 if full else 8
    async with (
        alert_house(tmp_path, empty_apache_kafka.bootstrap, postgres_server) as house,
        house.office("killed") as office,
    ):
        async with house.load.flowing():
            for number in range(kills):
                with office.process(str(number)) as running:
                    if number % 4 != 1:  # at any moment of its work, else of its start
                        await running.says(OURS)
                    await asyncio.sleep(chance.uniform(0, _LONGEST_S))
                    assert running.handle.poll() is None
                    running.kill()
                await house.bury()
        with office.process("last") as running:
            await office.done(running, within_s=60 + house.load.sent / 500)
        await house.bury()
        whole = await house.check(office)
    with capsys.disabled():
        print(f"\n{kills} kills among {house.load.sent:,} records: {len(whole.firings):,} firings, as without them")
