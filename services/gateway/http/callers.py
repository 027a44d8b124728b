"""Who asks, by the `Authorization` or the `X-API-Key` header, and who may."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope as Connection

from services.gateway.tokens import Caller, Verifier
from services.shared.errors import Denied, FieldError, InvalidInput, TickroomError, Unauthenticated
from services.shared.scopes import Scope

_CREDENTIALS: Final = (b"authorization", b"x-api-key")
_KNOWN: Final = "tickroom.caller"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Who(Enum):
    """Who may call an endpoint. The value says so to people."""

    ANYONE = "anyone"
    READER = "anyone, where ANONYMOUS_MARKET_DATA allows it; else any account"
    OWNER = "the owner: what is asked for is that account's"
    OPERATOR = "operators; anyone under AUTH_MODE=open"


READS: Final = (Scope.READ, Scope.ALERTS)
"""What an API key needs one of to read its owner's alerts, notifications, channels and watchlist."""

CHANGES: Final = (Scope.ALERTS,)
"""What it needs to change them."""

PROFILE: Final = (Scope.ACCOUNT,)


@dataclass(frozen=True, slots=True)
class Callers:
    """anonymous: may reads come without a token (ANONYMOUS_MARKET_DATA)? open: does nothing need an operator?"""

    verifier: Verifier
    anonymous: bool
    open: bool

    async def admit(self, who: Who, request: Request, scopes: Sequence[Scope] = ()) -> Caller | None:
        """The person who asks, None where nobody has to say. scopes: of which an API key of an owner needs one.

        Raises Unauthenticated, Denied (`operator_only`, `scope_missing`).
        """
        if who is Who.ANYONE:
            return None
        if who is Who.OWNER:
            caller = await self.owner(request)
            demand(caller, scopes)
            return caller
        return await (self.reader(request) if who is Who.READER else self.operator(request))

    async def known(self, scope: Connection) -> Caller | None:
        """The person whom a good token names; None without one, and for a bad one, which `owner` refuses.

        An API key only where it was shown before: whoever makes keys up must not be asked about before counted.
        """
        if not any(name in _CREDENTIALS for name, _ in scope["headers"]):
            return None
        headers = Headers(scope=scope)
        try:
            key = api_key(headers)
            if key is not None:
                return self.verifier.api_keys.remembered(key)
            token = bearer(headers)
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
        key = api_key(request.headers)
        if key is not None:
            return await self.verifier.verify_key(key)
        token = bearer(request.headers)
        if token is None:
            raise Unauthenticated("this needs a token: Authorization: Bearer ...", code="token_missing")
        return await self.verifier.verify(token)

    async def reader(self, request: Request) -> Caller | None:
        """Lets a read of market data pass. A bad token is refused also where none would be needed."""
        if self.anonymous and not _shows_credential(request.headers):
            return None
        caller = await self.owner(request)
        demand(caller, (Scope.READ,))
        return caller

    async def operator(self, request: Request) -> Caller | None:
        """Lets operators pass, and everybody through an open door. Raises Unauthenticated, Denied."""
        if self.open and not _shows_credential(request.headers):
            return None
        caller = await self.owner(request)
        demand(caller, (Scope.OPERATE,))
        if not self.open and caller.role != "operator":
            raise Denied("this is for operators", code="operator_only")
        return caller


def demand(caller: Caller, scopes: Sequence[Scope]) -> None:
    """Raises Denied (`scope_missing`) for an API key with none of these scopes; with none at all, for every key."""
    if not caller.may(scopes):
        needed = f"an API key with the scope {' or '.join(scopes)}" if scopes else "a login: no API key is enough"
        raise Denied(f"this needs {needed}", code="scope_missing")


def idempotency_key(headers: Headers) -> str:
    """The `Idempotency-Key` header, empty without one. Raises InvalidInput."""
    key = headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        error = FieldError("Idempotency-Key", "1 to 255 visible ASCII characters")
        raise InvalidInput(f"{error.loc}: {error.msg}", errors=(error,))
    return key or ""


def api_key(headers: Headers) -> str | None:
    """The `X-API-Key` header, None without one. Raises Unauthenticated beside another credential."""
    found = headers.getlist("x-api-key")
    if not found:
        return None
    if len(found) > 1 or "authorization" in headers:
        raise Unauthenticated("one credential is enough, and several are suspicious", code="bad_token")
    return found[0].strip()


def _shows_credential(headers: Headers) -> bool:
    return "authorization" in headers or "x-api-key" in headers


def bearer(headers: Headers) -> str | None:
    """The token of the `Authorization` header, None without one. Raises Unauthenticated for any other scheme."""
    found = headers.getlist("authorization")
    if not found:
        return None
    scheme, _, token = found[0].partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header is not of the form Bearer ...", code="bad_token")
    return token.strip()
