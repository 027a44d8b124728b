"""Reading what callers send: JSON bodies and query parameters, into typed models.

What is no JSON is refused before it is read (415), what is too long while it is read (413), what can't be parsed is
400, what can but is wrong is 422 with the fields named. Types are strict: a number in a string is no number, a boolean
neither. Each model says whether it refuses fields that it doesn't know.
"""

import json
from typing import Annotated, Any, Final, NoReturn, TypeVar
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from services.gateway.http.wording import worded
from services.gateway.replies import NotJson, TooLarge, Unreadable
from services.shared.errors import FieldError, InvalidInput

MAX_BODY_BYTES: Final = 1 << 20
FORM_TYPE: Final = "application/x-www-form-urlencoded"
_MOST_FORM_FIELDS: Final = 100

M = TypeVar("M", bound=BaseModel)


def _storable(text: str) -> str:
    if "\x00" in text:  # PostgreSQL stores any other character
        raise ValueError("holds a character that can't be stored")
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Text that is kept as it comes."""


class Body(BaseModel):
    """Base of JSON bodies. Fields that we don't know are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class ExactBody(Body):
    """Base of bodies where a misspelled field would silently mean something else: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Query(BaseModel):
    """Base of query parameters, which are text; empty ones count as not given."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class QueryOrBody(Query):
    """Base of query parameters that old clients send as the JSON body of a GET."""


class Form(BaseModel):
    """Base of HTML forms, whose values are text; empty ones count as not given, unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


async def read(request: Request, model: type[M]) -> M:
    """The JSON body as `model`. Raises NotJson, TooLarge, Unreadable, InvalidInput."""
    _demand_json(request)
    return validate(model, parse(await _bytes(request)))


async def read_optional(request: Request, model: type[M]) -> M | None:
    """As `read`; None where no body came."""
    if "transfer-encoding" not in request.headers and request.headers.get("content-length", "0") == "0":
        return None
    return await read(request, model)


async def read_form(request: Request, model: type[M]) -> M:
    """The form as `model`. Raises NotJson (`not_form`), TooLarge, Unreadable, InvalidInput."""
    if _kind(request) != (FORM_TYPE, True):
        raise NotJson(f"send a form: Content-Type: {FORM_TYPE}", code="not_form")
    return validate(model, _fields(await _bytes(request)))


async def query_or_body(request: Request, model: type[M]) -> M:
    """The query parameters as `model`; where one that must be there is not, a JSON object in the body may add it."""
    asked: dict[str, Any] = given(request)
    if any(field.is_required() and name not in asked for name, field in model.model_fields.items()):
        asked = await read_tolerated(request) | asked
    return validate(model, asked)


async def read_tolerated(request: Request) -> dict[str, Any]:
    """The JSON object that came with a GET, whatever it is declared to be; {} without one."""
    raw = await _bytes(request)
    found = parse(raw) if raw.strip() else {}
    if not isinstance(found, dict):
        raise InvalidInput("the body is not a JSON object", errors=(FieldError("body", "not a JSON object"),))
    return found


def query(request: Request, model: type[M]) -> M:
    """The query parameters as `model`; of a repeated one the last counts. Raises InvalidInput."""
    return validate(model, given(request))


def given(request: Request) -> dict[str, str]:
    """The query parameters that are not empty."""
    return {name: value for name, value in request.query_params.items() if value}


def validate(model: type[M], value: object) -> M:
    """Raises InvalidInput with one entry for each field that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    found = tuple(FieldError(_path(each["loc"]), worded(each)) for each in problems)
    raise InvalidInput(f"{found[0].loc}: {found[0].msg}", errors=found)


def parse(raw: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises Unreadable, also for NaN, doubled keys and absurd nesting."""
    try:
        value = json.loads(raw.decode(), parse_constant=_no_constant, object_pairs_hook=_object)
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair can't be written again, by nobody
        return value
    except UnicodeEncodeError:
        raise Unreadable("a text holds half of a character (a lone surrogate)") from None
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise Unreadable("the body is nested too deeply") from None
    except ValueError:  # a whole number of thousands of digits
        raise Unreadable("the body holds a number that is too long") from None


def _demand_json(request: Request) -> None:
    kind, utf8 = _kind(request)
    json_kind = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    if not json_kind or not utf8:
        raise NotJson("send JSON: Content-Type: application/json")


def _kind(request: Request) -> tuple[str, bool]:
    """The media type that is declared, in lower case, and whether its text may be UTF-8."""
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    return kind.strip(), "charset=" not in charset or "charset=utf-8" in charset


def _fields(raw: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FORM_FIELDS)
    except ValueError:
        raise Unreadable("the body is not a form in UTF-8, or one with too many fields") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("the form names the same field twice")
    return {name: value for name, value in found.items() if value}


async def _bytes(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise NotJson("send the body as it is, without a Content-Encoding", code="encoded")
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(raw)


def _too_large() -> TooLarge:
    return TooLarge(f"a JSON body has at most {MAX_BODY_BYTES} bytes")


def _no_constant(name: str) -> NoReturn:
    raise Unreadable(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("an object names the same key twice")
    return found


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "body"
