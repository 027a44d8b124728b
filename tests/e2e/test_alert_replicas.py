"""Three replicas of the users service on Apache Kafka: each rule is watched by one of them, also when one is killed."""

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.alert_house import MANY, alert_house
from tests.e2e.test_crash import taken_over
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port

_REPLICAS = 3
_PER_SECOND = 400
"""Ticks: three processes and the test share what one has in the tests of outages."""
_SHARE = r"users-alerts: [56] partitions of topic ticks are ours"  # of 16


async def metric(port: int, name: str) -> float:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.apache_kafka
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_three_replicas_fire_every_rule_once_and_two_go_on_for_a_third(
    tmp_path: Path, empty_apache_kafka: KafkaServer, postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = [free_port() for _ in range(_REPLICAS)]
    async with (
        alert_house(tmp_path, empty_apache_kafka.bootstrap, postgres_server) as house,
        house.office("shared") as office,
    ):
        house.load.rate = _PER_SECOND
        with ExitStack() as stack:
            replicas = [
                stack.enter_context(office.process(str(number), METRICS_PORT=str(port)))
                for number, port in enumerate(ports)
            ]
            for replica in replicas:
                await replica.says(_SHARE)
            async with house.load.flowing():
                await house.load.passes(4_000)
            await office.done(replicas[0], within_s=60)
            fired = [await metric(port, "users_firings_total") for port in ports]
            records = [await metric(port, 'users_reader_records_total{outcome="fresh"') for port in ports]
            before, sent = await office.outcome(), house.load.sent
            async with house.load.flowing():
                await house.load.passes(1_000)
                replicas[-1].kill()
                took = await taken_over(house.kafka.bootstrap)
                await house.load.passes(400)
            await office.done(replicas[0], within_s=60)
        with capsys.disabled():
            print(f"\nthe partitions of a killed replica were worked on again after {took:.1f} s")
        await house.bury()
        # nobody did what another did too
        assert sum(fired) == len(before.firings) > MANY
        assert min(fired) > 0
        assert sum(records) == sent
        await house.check(office)
