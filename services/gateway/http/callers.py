"""Who asks, by the `Authorization` header, and who may."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from services.gateway.tokens import Caller, Verifier
from services.shared.errors import Denied, FieldError, InvalidInput, TickroomError, Unauthenticated

_KNOWN: Final = "tickroom.caller"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Who(Enum):
    """Who may call an endpoint. The value says so to people."""

    ANYONE = "anyone"
    READER = "anyone, where ANONYMOUS_MARKET_DATA allows it; else any account"
    OWNER = "the owner: what is asked for is that account's"
    OPERATOR = "operators; anyone under AUTH_MODE=open"


@dataclass(frozen=True, slots=True)
class Callers:
    """anonymous: may reads come without a token (ANONYMOUS_MARKET_DATA)? open: does nothing need an operator?"""

    verifier: Verifier
    anonymous: bool
    open: bool

    async def admit(self, who: Who, request: Request) -> Caller | None:
        """The person who asks, None where nobody has to say. Raises Unauthenticated, Denied (`operator_only`)."""
        if who is Who.ANYONE:
            return None
        if who is Who.OWNER:
            return await self.owner(request)
        return await (self.reader(request) if who is Who.READER else self.operator(request))

    async def known(self, scope: Scope) -> Caller | None:
        """The person whom a good token names; None without one, and for a bad one, which `owner` refuses."""
        if not any(name == b"authorization" for name, _ in scope["headers"]):
            return None
        try:
            token = bearer(Headers(scope=scope))
            caller = None if token is None else await self.verifier.verify(token)
        except TickroomError:
            return None
        scope[_KNOWN] = caller
        return caller

    async def owner(self, request: Request) -> Caller:
        """The person who asks. Raises Unauthenticated."""
        known: Caller | None = request.scope.get(_KNOWN)
        if known is not None:
            return known  # a signature is looked at once
        token = bearer(request.headers)
        if token is None:
            raise Unauthenticated("this needs a token: Authorization: Bearer ...", code="token_missing")
        return await self.verifier.verify(token)

    async def reader(self, request: Request) -> Caller | None:
        """Lets a read of market data pass. A bad token is refused also where none would be needed."""
        if self.anonymous and "authorization" not in request.headers:
            return None
        return await self.owner(request)

    async def operator(self, request: Request) -> Caller | None:
        """Lets operators pass, and everybody through an open door. Raises Unauthenticated, Denied."""
        if self.open and "authorization" not in request.headers:
            return None
        caller = await self.owner(request)
        if not self.open and caller.role != "operator":
            raise Denied("this is for operators", code="operator_only")
        return caller


def idempotency_key(headers: Headers) -> str:
    """The `Idempotency-Key` header, empty without one. Raises InvalidInput."""
    key = headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        error = FieldError("Idempotency-Key", "1 to 255 visible ASCII characters")
        raise InvalidInput(f"{error.loc}: {error.msg}", errors=(error,))
    return key or ""


def bearer(headers: Headers) -> str | None:
    """The token of the `Authorization` header, None without one. Raises Unauthenticated for any other scheme."""
    found = headers.getlist("authorization")
    if not found:
        return None
    scheme, _, token = found[0].partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header is not of the form Bearer ...", code="bad_token")
    return token.strip()
