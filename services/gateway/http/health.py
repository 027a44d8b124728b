"""Is the door open, and what stands behind it?"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.http.routing import reply, resource
from services.shared.errors import Denied

Check = Callable[[], Awaitable[bool]]

_CHECK_S: Final = 1.5
_FRESH_S: Final = 0.5  # an answer this old is given again, so that probing costs the rooms behind little

_log = logging.getLogger("tickroom.gateway.health")


class Health:
    """details: may everybody see the dependencies and the metrics (an open door), or the METRICS_PORT only?"""

    def __init__(self, checks: Mapping[str, Check], *, details: bool) -> None:
        self._checks = checks
        self._details = details
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._found: dict[str, bool] = {}

    def routes(self) -> list[Route]:
        return [
            resource("/health", GET=self.healthy),
            resource("/health/live", GET=self.live),
            resource("/health/ready", GET=self.ready),
            resource("/metrics", GET=self.metrics),
        ]

    async def healthy(self, _request: Request) -> Response:
        return reply({"status": "healthy"})

    async def live(self, _request: Request) -> Response:
        return reply({"status": "alive"})

    async def ready(self, _request: Request) -> Response:
        found = await self._ask()
        body: dict[str, object] = {"status": _word(all(found.values()))}
        if self._details:
            body["dependencies"] = {name: _word(fine) for name, fine in found.items()}
        return reply(body, 200 if all(found.values()) else 503)

    async def metrics(self, _request: Request) -> Response:
        if not self._details:
            raise Denied("metrics are on METRICS_PORT", code="metrics_elsewhere")
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def _ask(self) -> dict[str, bool]:
        async with self._asking:
            if time.monotonic() - self._asked_at >= _FRESH_S:
                answers = await asyncio.gather(*(_holds(name, check) for name, check in self._checks.items()))
                self._found = dict(zip(self._checks, answers, strict=True))
                self._asked_at = time.monotonic()
            return self._found


async def _holds(name: str, check: Check) -> bool:
    try:
        return await asyncio.wait_for(check(), _CHECK_S)
    except Exception as error:  # whatever is wrong with it: it is not ready
        _log.debug("%s is not ready: %s", name, error)
        return False


def _word(fine: bool) -> str:
    return "ready" if fine else "not_ready"
