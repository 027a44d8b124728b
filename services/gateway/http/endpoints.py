"""What an endpoint declares: its signature and its `@endpoint(...)`, read once at import.

`routing.py` tells how to write one and answers requests by it; `openapi.py` documents it.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Generic, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.http.bodies import Body, Form, Query
from services.gateway.http.callers import Who
from services.gateway.tokens import Caller
from services.shared.scopes import Scope

JSON: Final = "application/json"

_MARK: Final = "__endpoint__"
_SCOPES_OF: Final[Mapping[Who, tuple[Scope, ...]]] = {
    Who.ANYONE: (),
    Who.READER: (Scope.READ,),
    Who.OWNER: (),
    Who.OPERATOR: (Scope.OPERATE,),
}
"""What an API key needs, where an endpoint says nothing else."""

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InPath:
    """A part of the path. pattern: what it must match; anything else is a 404 with the code `unknown_id`."""

    description: str
    example: str
    pattern: re.Pattern[str] | None = None


Ticker = Annotated[str, InPath("a symbol, or the name of a company", "AAPL")]
Id = Annotated[
    str, InPath("as it was given out", "0190f1f0-7e0e-7d6b-9a5b-2f6f0c9f3d11", re.compile("[A-Za-z0-9_-]{1,64}"))
]

IdempotencyKey = NewType("IdempotencyKey", str)
"""The header of a request that creates; empty without one."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A body that needs more than the declared status: headers, or another status."""

    body: T
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """One page. next_page_token: give it back as `page_token` for the next one; null at the end."""

    items: list[T]
    next_page_token: str | None


class Kind(IntEnum):
    """Where an argument of a handler comes from, in the order in which they are looked at."""

    REQUEST = 0
    CALLER = 1
    PATH = 2
    KEY = 3
    QUERY = 4
    BODY = 5
    FORM = 6


@dataclass(frozen=True, slots=True)
class Argument:
    """model: what it is read into (query, body, form); required: must the body be there?"""

    name: str
    kind: Kind
    model: Any = None
    required: bool = True
    path: InPath | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One declared operation. answer: the type of the JSON body, None where it has none or is not JSON.

    also: other statuses that the same body comes with. errors: status -> when, beside those that follow from the
    arguments. kept: may callers keep the answer, and ask each time whether it still holds? deprecated: since when.
    scopes: of which an API key needs one.
    """

    name: str
    topic: str
    summary: str
    description: str
    who: Who
    arguments: tuple[Argument, ...]
    status: int
    answer: Any
    media: str
    also: tuple[int, ...]
    errors: Mapping[int, str]
    kept: bool
    deprecated: date | None
    scopes: tuple[Scope, ...] = ()

    def of(self, kind: Kind) -> Argument | None:
        """The argument of this kind, of which there is at most one (save parts of the path)."""
        return next((each for each in self.arguments if each.kind is kind), None)


def endpoint(
    summary: str,
    *,
    who: Who = Who.ANYONE,
    scopes: tuple[Scope, ...] | None = None,
    status: int = 200,
    answer: Any = None,
    media: str = JSON,
    also: tuple[int, ...] = (),
    errors: Mapping[int, str] | None = None,
    kept: bool = False,
    deprecated: date | None = None,
    name: str = "",
) -> Callable[[F], F]:
    """Declares an endpoint (see routing.py). answer: where the return annotation does not say it. name: of a function
    that is many endpoints. scopes: of which an API key needs one; without any an owner's endpoint is for logins alone.

    Raises TypeError for an argument whose annotation does not say where it comes from.
    """

    def declare(handler: F) -> F:
        hints = get_type_hints(handler, include_extras=True)
        returned = hints.pop("return")
        topic = handler.__module__.rpartition(".")[2]
        declared = Endpoint(
            name=f"{topic}_{name or handler.__name__}",
            topic=topic,
            summary=summary,
            description=inspect.getdoc(handler) or "",
            who=who,
            arguments=tuple(sorted((_argument(*each) for each in hints.items()), key=lambda each: each.kind)),
            status=204 if returned is NoneType else status,
            answer=answer or _answered(returned),
            media=media,
            also=also,
            errors=errors or {},
            kept=kept,
            deprecated=deprecated,
            scopes=_SCOPES_OF[who] if scopes is None else scopes,
        )
        setattr(handler, _MARK, declared)
        return handler

    return declare


def declared(handler: Callable[..., Any]) -> Endpoint:
    """What `handler` declared of itself. Raises TypeError where it has no `@endpoint`."""
    found: Endpoint | None = getattr(handler, _MARK, None)
    if found is None:
        raise TypeError(f"{handler!r} has no @endpoint: nobody could know what it is")
    return found


def _argument(name: str, hint: Any) -> Argument:
    plain, optional = _without_none(hint)
    if hint is IdempotencyKey:
        return Argument(name, Kind.KEY)
    for path in getattr(hint, "__metadata__", ()):
        if isinstance(path, InPath):
            return Argument(name, Kind.PATH, path=path)
    if inspect.isclass(plain):
        for family, kind in _FAMILIES.items():
            if issubclass(plain, family):
                return Argument(name, kind, plain, required=not optional)
    raise TypeError(f"{name}: {hint!r} says not where it comes from")


_FAMILIES: Final[Mapping[type, Kind]] = {
    Request: Kind.REQUEST,
    Caller: Kind.CALLER,
    Query: Kind.QUERY,
    Body: Kind.BODY,
    Form: Kind.FORM,
}


def _without_none(hint: Any) -> tuple[Any, bool]:
    """`X` and whether `hint` is `X | None`."""
    if get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint):
        (only,) = (each for each in get_args(hint) if each is not NoneType)
        return only, True
    return hint, False


def _answered(returned: Any) -> Any:
    """The type of the body that a handler with this return annotation gives."""
    if get_origin(returned) is Answer:
        return get_args(returned)[0]
    if returned is NoneType or (inspect.isclass(returned) and issubclass(returned, Response)):
        return None
    return returned
