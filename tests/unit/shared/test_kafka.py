"""The log of Kafka's client during an outage."""

import subprocess
import sys

_OUTAGE = """
import logging
from services.shared.kafka import calm_log
from services.shared.telemetry import setup_logging

setup_logging("console", "info")
calm_log()
calm_log()
consumer, connection = logging.getLogger("aiokafka.consumer.fetcher"), logging.getLogger("aiokafka.conn")
for number in range(50):
    consumer.error("node %d is away", number)
    connection.error("a connection broke")
"""


def test_its_modules_say_each_thing_once_in_a_while() -> None:
    """In a process of its own: the loggers of this one have seen many tests."""
    told = subprocess.run([sys.executable, "-c", _OUTAGE], capture_output=True, text=True, check=True).stderr
    assert [line.partition("ERROR ")[2] for line in told.splitlines()] == ["node 0 is away", "a connection broke"]
