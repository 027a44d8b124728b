"""Who asks, by the `Authorization` header."""

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request

from services.gateway.tokens import Caller, Verifier
from services.shared.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class Callers:
    """anonymous: may reads come without a token (ANONYMOUS_MARKET_DATA)?"""

    verifier: Verifier
    anonymous: bool

    async def owner(self, request: Request) -> Caller:
        """The person who asks. Raises Unauthenticated."""
        token = bearer(request.headers)
        if token is None:
            raise Unauthenticated("this needs a token: Authorization: Bearer ...", code="token_missing")
        return await self.verifier.verify(token)

    async def reader(self, request: Request) -> None:
        """Lets a read of market data pass. A bad token is refused also where none would be needed."""
        if not self.anonymous or "authorization" in request.headers:
            await self.owner(request)


def bearer(headers: Headers) -> str | None:
    """The token of the `Authorization` header, None without one. Raises Unauthenticated for any other scheme."""
    found = headers.getlist("authorization")
    if not found:
        return None
    scheme, _, token = found[0].partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header is not of the form Bearer ...", code="bad_token")
    return token.strip()
