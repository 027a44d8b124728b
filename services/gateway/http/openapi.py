"""The OpenAPI 3.1 document of every declared endpoint.

Made from the declarations that requests are read and answered by (endpoints.py). Pydantic describes what comes in,
msgspec what goes out: each as it reads or writes it.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from services.gateway.http.bodies import FORM_TYPE
from services.gateway.http.callers import Who
from services.gateway.http.endpoints import JSON, Argument, Endpoint, Kind
from services.gateway.http.routing import Resource
from services.gateway.replies import PROBLEM_TYPE, Problem, phrase

Json = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
_INFO: Final[Json] = {
    "title": "Tickroom",
    "version": "1",
    "summary": "Live stock prices, buy/sell signals and personal alerts",
    "description": (
        "Times are UTC. Every answer carries `X-Request-ID` and `X-Response-Time`; every error is a problem "
        "(RFC 9457). Where requests are limited, every answer says how many are left, as that of 429 does. "
        "Every GET answers HEAD, every path OPTIONS. WebSocket rooms and events on Kafka: `/asyncapi`."
    ),
    "license": {"name": "MIT", "identifier": "MIT"},
}
_HEADERS: Final[Mapping[str, Json]] = {
    "X-Request-ID": {
        "description": "the caller's where it is a good one, else a new one",
        "schema": {"type": "string"},
    },
    "X-Response-Time": {
        "description": "seconds until the answer began",
        "schema": {"type": "string", "pattern": r"^\d+\.\d{3}$"},
    },
    "Location": {"description": "of what was made", "schema": {"type": "string"}},
    "Deprecation": {"description": "since when not to use this any more (RFC 9745)", "schema": {"type": "string"}},
    "Retry-After": {"description": "seconds", "schema": {"type": "string", "pattern": r"^\d+$"}},
    "WWW-Authenticate": {"schema": {"type": "string"}},
    "ETag": {"description": "for `If-None-Match` of the next request", "schema": {"type": "string"}},
    "RateLimit": {"description": "requests left (r), seconds until they are new (t)", "schema": {"type": "string"}},
    "RateLimit-Policy": {
        "description": "requests (q) in so many seconds (w); not where another limit refused, of logins or streams",
        "schema": {"type": "string"},
    },
    "X-RateLimit-Limit": {"description": "requests in a minute; not there either", "schema": {"type": "integer"}},
    "X-RateLimit-Remaining": {"description": "requests left", "schema": {"type": "integer"}},
    "X-RateLimit-Reset": {"description": "UNIX seconds when they are new", "schema": {"type": "integer"}},
}
_HEADERS_OF: Final[Mapping[int, tuple[str, ...]]] = {
    201: ("Location",),
    401: ("WWW-Authenticate",),
    429: ("Retry-After", *(name for name in _HEADERS if "RateLimit" in name)),
    502: ("Retry-After",),
    503: ("Retry-After",),
    504: ("Retry-After",),
}
_ALWAYS: Final = ("X-Request-ID", "X-Response-Time")
_OF_KIND: Final[Mapping[Kind, tuple[int, ...]]] = {
    Kind.KEY: (422,),
    Kind.QUERY: (422,),
    Kind.BODY: (400, 413, 415, 422),
    Kind.FORM: (400, 413, 415, 422),
}
_OF_WHO: Final[Mapping[Who, tuple[int, ...]]] = {
    Who.ANYONE: (),
    Who.READER: (401, 403),
    Who.OWNER: (401, 403),
    Who.OPERATOR: (401, 403),
}
_OF_ALL: Final = (429, 503)
_ALWAYS_A_TOKEN: Final = frozenset({Who.OWNER})


def document(routes: Iterable[BaseRoute]) -> Json:
    """The document of all Resources among `routes`. Raises ValueError where two models share a name."""
    found = [
        (route.path, method, endpoint)
        for route in routes
        if isinstance(route, Resource)
        for method, endpoint in route.endpoints.items()
    ]
    answers, schemas = _schemas([endpoint for _, _, endpoint in found])
    paths: dict[str, Json] = {}
    for path, method, endpoint in found:
        paths.setdefault(re.sub(r":\w+}", "}", path), {})[method.lower()] = _operation(endpoint, answers)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/"}],
        "tags": [{"name": topic} for topic in dict.fromkeys(endpoint.topic for _, _, endpoint in found)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": dict(_HEADERS),
            "responses": _problems(found),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`access_token` of a login",
                },
                "api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "`key` of POST /api/v1/api-keys, with a scope that the operation names",
                },
            },
        },
    }


def _operation(endpoint: Endpoint, answers: Mapping[Any, Json]) -> Json:
    operation: Json = {
        "operationId": endpoint.name,
        "tags": [endpoint.topic],
        "summary": endpoint.summary,
        "description": f"{endpoint.description}\n\nFor {endpoint.who.value}.{_needs(endpoint)}".strip(),
        "parameters": [parameter for each in endpoint.arguments for parameter in _parameters(each)],
        "responses": _responses(endpoint, answers),
        "security": _security(endpoint),
    }
    body = endpoint.of(Kind.BODY) or endpoint.of(Kind.FORM)
    if body is not None:
        kind = FORM_TYPE if body.kind is Kind.FORM else JSON
        operation["requestBody"] = {
            "required": body.required,
            "content": {kind: _example(body.model) | {"schema": {"$ref": _SCHEMAS + body.model.__name__}}},
        }
    if endpoint.deprecated is not None:
        operation["deprecated"] = True
    return operation


def _parameters(argument: Argument) -> list[Json]:
    if argument.path is not None:
        schema: Json = {"type": "string"}
        if argument.path.pattern is not None:
            schema["pattern"] = f"^{argument.path.pattern.pattern}$"
        found = {"name": argument.name, "in": "path", "required": True, "schema": schema}
        return [found | {"description": argument.path.description, "example": argument.path.example}]
    if argument.kind is Kind.KEY:
        schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
        what = "sent again with the same key, it is made once"
        return [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema, "description": what}]
    if argument.kind is not Kind.QUERY:
        return []
    described = argument.model.model_json_schema()
    return [
        _query(name, schema, name in described.get("required", ())) for name, schema in described["properties"].items()
    ]


def _query(name: str, schema: Json, required: bool) -> Json:
    kept = {key: value for key, value in schema.items() if key not in ("title", "description", "examples")}
    found: Json = {"name": name, "in": "query", "required": required, "schema": _not_null(kept)}
    if "description" in schema:
        found["description"] = schema["description"]
    if "examples" in schema:
        found["example"] = schema["examples"][0]
    return found


def _not_null(schema: Json) -> Json:
    """`schema` without null, which a query can't say."""
    choices: list[Json] = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return choices[0] | {key: value for key, value in schema.items() if key not in ("anyOf", "default")}


def _responses(endpoint: Endpoint, answers: Mapping[Any, Json]) -> Json:
    found: Json = {str(status): _success(endpoint, status, answers) for status in (endpoint.status, *endpoint.also)}
    if endpoint.kept:
        found["304"] = {
            "description": "what `If-None-Match` names still holds",
            "headers": _referred((*_ALWAYS, "ETag")),
        }
    statuses = {*chain.from_iterable(_OF_KIND.get(each.kind, ()) for each in endpoint.arguments)}
    statuses |= {404} if any(each.path is not None for each in endpoint.arguments) else set()
    statuses |= {*_OF_WHO[endpoint.who], *_OF_ALL}
    for status in sorted(statuses - {endpoint.status, *endpoint.also} - endpoint.errors.keys()):
        found[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    for status, when in endpoint.errors.items():
        found[str(status)] = _problem(status, when)
    return dict(sorted(found.items())) | {"default": {"$ref": "#/components/responses/Problem"}}


def _success(endpoint: Endpoint, status: int, answers: Mapping[Any, Json]) -> Json:
    own = {"ETag": endpoint.kept, "Deprecation": endpoint.deprecated is not None}
    headers = (*_ALWAYS, *_HEADERS_OF.get(status, ()), *(name for name, there in own.items() if there))
    found: Json = {"description": phrase(status), "headers": _referred(headers)}
    if status == 204:
        return found
    if endpoint.answer is not None:
        found["content"] = {endpoint.media: _example(endpoint.answer) | {"schema": answers[endpoint.answer]}}
    else:
        found["content"] = {endpoint.media: {"schema": {"type": "string"}}}
    return found


def _problem(status: int, when: str) -> Json:
    return {
        "description": when,
        "headers": _referred((*_ALWAYS, *_HEADERS_OF.get(status, ()))),
        "content": {PROBLEM_TYPE: {"schema": {"$ref": _SCHEMAS + "Problem"}}},
    }


def _problems(found: Iterable[tuple[str, str, Endpoint]]) -> Json:
    """The answers that every endpoint may give for the same reason."""
    statuses = {*chain.from_iterable((*_OF_KIND.values(), *_OF_WHO.values())), 404, *_OF_ALL}
    return {_name(status): _problem(status, phrase(status)) for status in sorted(statuses)} | {
        "Problem": _problem(0, "anything else that is wrong")
    }


def _name(status: int) -> str:
    return phrase(status).replace(" ", "").replace("-", "")


def _referred(headers: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _needs(endpoint: Endpoint) -> str:
    if endpoint.scopes:
        return f" An API key needs the scope {' or '.join(f'`{each}`' for each in endpoint.scopes)}."
    return " No API key is enough." if endpoint.who is Who.OWNER else ""


def _security(endpoint: Endpoint) -> list[Json]:
    """An empty requirement: it works without a token too, where the settings allow that."""
    if endpoint.who is Who.ANYONE:
        return []
    nothing: list[Json] = [] if endpoint.who in _ALWAYS_A_TOKEN else [{}]
    return [*nothing, {"bearer": []}, *([{"api_key": list(endpoint.scopes)}] if endpoint.scopes else [])]


def _example(model: Any) -> Json:
    text = getattr(model, "example", None)
    return {} if text is None else {"example": msgspec.json.decode(text)}


def _schemas(endpoints: Iterable[Endpoint]) -> tuple[dict[Any, Json], Json]:
    """How each answer is referred to, and all schemas by name."""
    taken: dict[type[BaseModel], None] = {}
    given: dict[Any, None] = {Problem: None}
    for endpoint in endpoints:
        taken |= {each.model: None for each in endpoint.arguments if each.kind in (Kind.BODY, Kind.FORM)}
        given |= {} if endpoint.answer is None else {endpoint.answer: None}
    _, read = models_json_schema([(model, "validation") for model in taken], ref_template=_SCHEMAS + "{model}")
    references, written = msgspec.json.schema_components(list(given), ref_template=_SCHEMAS + "{name}")
    schemas: Json = read.get("$defs", {})
    if twice := schemas.keys() & written.keys():
        raise ValueError(f"models for what comes in and for what goes out share names: {', '.join(sorted(twice))}")
    return dict(zip(given, references, strict=True)), schemas | written
