"""Is the door open, and what stands behind it?"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Final, Literal

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.http.callers import Callers
from services.gateway.http.routing import Answer, Who, endpoint, resource
from services.shared.errors import TickroomError

Check = Callable[[], Awaitable[bool]]

_CHECK_S: Final = 1.5
_FRESH_S: Final = 0.5  # an answer this old is given again, so that probing costs the rooms behind little

_log = logging.getLogger("tickroom.gateway.health")


Word = Literal["ready", "not_ready"]


class Healthy(msgspec.Struct, frozen=True):
    example: ClassVar[str] = '{"status":"healthy"}'

    status: Literal["healthy"] = "healthy"


class Alive(msgspec.Struct, frozen=True):
    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct, frozen=True):
    """draining: nobody is let in any more. dependencies: by name, for those who may see them."""

    status: Word | Literal["draining"]
    dependencies: dict[str, Word] | msgspec.UnsetType = msgspec.UNSET


class Health:
    """Through a strict door the dependencies and the metrics are for operators; METRICS_PORT has the metrics too.

    draining: is everybody being shown out?
    """

    def __init__(
        self, checks: Mapping[str, Check], callers: Callers, draining: Callable[[], bool] = lambda: False
    ) -> None:
        self._checks = checks
        self._callers = callers
        self._draining = draining
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._found: dict[str, bool] = {}

    def routes(self) -> list[Route]:
        return [
            resource("/health", GET=self.healthy),
            resource("/health/live", GET=self.live),
            resource("/health/ready", GET=self.ready),
            resource("/metrics", self._callers, GET=self.metrics),
        ]

    @endpoint("Is the door open?")
    async def healthy(self) -> Healthy:
        return Healthy()

    @endpoint("Does the process answer?")
    async def live(self) -> Alive:
        return Alive()

    @endpoint("Can all be served?", also=(503,))
    async def ready(self, request: Request) -> Answer[Readiness]:
        """503 with the same body while something behind is not ready, or while this gateway is stopping.

        What is behind is for operators under AUTH_MODE=strict.
        """
        draining = self._draining()
        found = self._found if draining else await self._ask()
        words: dict[str, Word] = {name: _word(fine) for name, fine in found.items()}
        fine = all(found.values())
        body = Readiness(
            "draining" if draining else _word(fine), words if await self._may_see(request) else msgspec.UNSET
        )
        return Answer(body, status=200 if fine and not draining else 503)

    @endpoint("Prometheus metrics", who=Who.OPERATOR, media="text/plain")
    async def metrics(self) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def _may_see(self, request: Request) -> bool:
        try:
            await self._callers.operator(request)
        except TickroomError:  # also where the token can't be checked just now: probes need their answer
            return False
        return True

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


def _word(fine: bool) -> Word:
    return "ready" if fine else "not_ready"
