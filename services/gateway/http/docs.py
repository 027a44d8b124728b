"""What this door is, for programs: `/openapi.json` and `/asyncapi`. The page at `/docs` shows both to people."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from services.gateway.http import asyncapi, openapi
from services.gateway.http.admission import Admission
from services.gateway.http.routing import endpoint, resource


class Docs:
    """Writes each document when it is first asked for: nobody who starts a gateway should wait for that."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._openapi: openapi.Json | None = None

    def routes(self) -> list[Route]:
        return [
            resource("/openapi.json", GET=self.openapi),
            resource("/asyncapi", GET=self.asyncapi),
        ]

    @endpoint("This document", kept=True)
    async def openapi(self, request: Request) -> dict[str, Any]:
        """OpenAPI 3.1: every path that is asked and answered."""
        if self._openapi is None:
            self._openapi = await asyncio.to_thread(openapi.document, request.app.routes)
        return self._openapi

    @endpoint("The rooms and the events", kept=True)
    async def asyncapi(self, request: Request) -> dict[str, Any]:
        """AsyncAPI 3: the WebSocket rooms with every message both ways, the event stream, the events on Kafka."""
        host = request.headers["host"]
        secure = self._admission.is_own(request.scope, f"https://{host}")
        return await asyncio.to_thread(asyncapi.document, host, secure=secure)
