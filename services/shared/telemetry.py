"""Logging and metrics, the same in every room.

Loggers are called `tickroom.<room>...`. One line for what a person wants to know, none per message; never a password,
token, key or address of a person. Metrics are prometheus_client's, their names begin with the room.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request in hand; it travels as gRPC metadata and stands in every log line written meanwhile."""


def setup_logging(form: str, level: str) -> None:
    """Lines to standard error: `console` for people, `json` (one object a line) for machines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _Console())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("tickroom").setLevel(level.upper())
    logging.getLogger("aiokafka").setLevel(logging.ERROR)


class _Console(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        asked = f" [{rid}]" if (rid := request_id.get()) else ""
        line = f"{when} {record.name.removeprefix('tickroom.'):<12} {level}{record.getMessage()}{asked}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if rid := request_id.get():
            line["request_id"] = rid
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
