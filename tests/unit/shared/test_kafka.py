"""The log of Kafka's client during an outage."""

import logging

import pytest

from services.shared.kafka import calm_log


def test_its_modules_say_each_thing_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    calm_log()
    calm_log()
    consumer, connection = logging.getLogger("aiokafka.consumer.fetcher"), logging.getLogger("aiokafka.conn")
    for number in range(50):
        consumer.error("node %d is away", number)
        connection.error("a connection broke")
    assert [each.getMessage() for each in caplog.records] == ["node 0 is away", "a connection broke"]
