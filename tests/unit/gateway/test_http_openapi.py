"""The OpenAPI document: valid, complete, and true of what is answered."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from services.gateway.http.bodies import FORM_TYPE, Body
from services.gateway.http.openapi import document
from services.gateway.http.routing import Listing, endpoint, resource
from tests.unit.gateway.http_fakes import Front, problem_of

FRONTS = {mode: Front(auth_mode=mode, requests_per_minute=0) for mode in ("open", "strict")}
DOCUMENT: dict[str, Any] = document(FRONTS["open"].routes)


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _wrong(schema: dict[str, Any], value: Any) -> list[str]:
    validator = Draft202012Validator(schema | {"components": DOCUMENT["components"]})
    return [error.message for error in validator.iter_errors(value)]


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = DOCUMENT
        for key in node["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        node = found
    return node


async def test_it_is_valid_and_served() -> None:
    async with Front().client() as client:
        answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert found == DOCUMENT
    assert found["openapi"].startswith("3.1.")
    assert [str(error) for error in OpenAPIV31SpecValidator(found).iter_errors()] == []


def test_every_path_and_method_is_in_it() -> None:
    routes = [route for route in FRONTS["open"].routes if isinstance(route, Route)]
    served = {(method, route.path) for route in routes for method in route.methods or ()}
    documented = {(method, path) for method, path, _ in _operations()}
    assert {each for each in served if each[0] not in ("HEAD", "OPTIONS")} == documented
    assert {path for method, path in served if method == "GET"} == {path for method, path in served if method == "HEAD"}
    assert {path for _, path in served} == {path for method, path in served if method == "OPTIONS"}


@pytest.mark.parametrize(
    ("method", "path", "operation"), [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in _operations()]
)
def test_an_operation_says_what_it_answers(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    assert any(status.startswith("2") for status in operation["responses"])
    for status, response in operation["responses"].items():
        content = _resolved(response).get("content", {})
        expected = {"204": set(), "default": {"application/problem+json"}}
        if status[0] == "4":
            assert set(content) == {"application/problem+json"}
        else:
            assert len(content) == (0 if status in ("204", "304") else 1)
            assert set(content) == expected.get(status, set(content))
    if method == "GET":
        assert "requestBody" not in operation
    if {"bearer": []} in operation["security"]:
        assert "401" in operation["responses"]


def test_examples_are_of_their_schemas() -> None:
    checked = 0
    for _, _, operation in _operations():
        for response in [operation.get("requestBody", {}), *operation["responses"].values()]:
            for media in _resolved(response).get("content", {}).values():
                if "example" in media:
                    assert _wrong(media["schema"], media["example"]) == []
                    checked += 1
        for parameter in operation["parameters"]:
            if "example" in parameter:
                assert _wrong(parameter["schema"], parameter["example"]) == []
    assert checked > 8


@pytest.mark.parametrize(
    ("method", "path", "status", "example"),
    [
        (
            "get",
            "/predict/{ticker}",
            "200",
            '{"ticker":"AAPL","current_price":226.01,"prediction":{"price_target":224.15,"confidence":0.88,'
            '"direction":"bearish"},"timestamp":"2025-08-21T13:08:46Z"}',
        ),
        (
            "get",
            "/model/status/{ticker}",
            "200",
            '{"ticker":"AAPL","model_loaded":true,"service_ready":true,"model_type":"random_forest","metrics":'
            '{"val_mae":0.0119,"val_rmse":0.0162,"training_time":0.19,"train_samples":185,"val_samples":47}}',
        ),
        ("get", "/health", "200", '{"status":"healthy"}'),
    ],
)
def test_answers_are_shown_as_they_are_promised(method: str, path: str, status: str, example: str) -> None:
    (media,) = DOCUMENT["paths"][path][method]["responses"][status]["content"].values()
    assert media["example"] == json.loads(example)


def test_who_may_call_is_said() -> None:
    paths = DOCUMENT["paths"]
    assert paths["/health"]["get"]["security"] == []
    assert paths["/tickers"]["get"]["security"] == [{}, {"bearer": []}, {"api_key": ["read"]}]
    assert paths["/api/v1/alerts"]["post"]["security"] == [{"bearer": []}, {"api_key": ["alerts"]}]
    assert paths["/api/v1/api-keys"]["post"]["security"] == [{"bearer": []}]
    assert "No API key is enough" in paths["/api/v1/api-keys"]["post"]["description"]
    assert "operators" in paths["/metrics"]["get"]["description"]
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


@pytest.mark.parametrize("path", ["/api/v1/alerts", "/api/v1/api-keys", "/api/v1/channels", "/api/v1/webhooks"])
def test_where_there_may_be_only_so_many_the_limit_is_named(path: str) -> None:
    assert "too_many_" in DOCUMENT["paths"][path]["post"]["responses"]["429"]["description"]


def test_models_that_share_a_name_are_refused() -> None:
    class Problem(Body):
        text: str

    @endpoint("Takes something")
    async def take(body: Problem) -> Listing[str]:
        return Listing([body.text], None)

    with pytest.raises(ValueError, match="Problem"):
        document([resource("/take", POST=take)])


# Whatever is asked, the answer is one of those that the document promises

_WORDS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["AAPL", "1d", "10d", "lightgbm", "0", "1", "-1", "1e9", "true", "%", "../x", "a" * 600, "nan"]),
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _WORDS, st.just("\ud800")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_WORDS, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def _requests(draw: st.DrawFn) -> tuple[str, str, str, dict[str, Any]]:
    """Method, path as documented, path as asked, and the arguments of a request by httpx."""
    method, path, operation = draw(st.sampled_from(list(_operations())))
    asked = path
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    for parameter in operation["parameters"]:
        name, where, value = parameter["name"], parameter["in"], draw(_WORDS)
        if where == "path":
            usable = quote(value.replace("/", "").strip(".") or "x")
            asked = asked.replace(f"{{{name}}}", draw(st.sampled_from([parameter["example"], usable])))
        elif where == "header":
            headers |= draw(st.sampled_from([{}, {name: "key-1"}, {name: "not a key"}]))
        elif draw(st.booleans()):
            query[name] = draw(st.sampled_from([value, str(parameter.get("example", value))]))
    headers |= draw(st.sampled_from([{}, {}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eA=="}]))
    arguments: dict[str, Any] = {"params": query, "headers": headers}
    if "requestBody" in operation:
        arguments |= _body(draw, operation["requestBody"]["content"], headers)
    return method, path, asked, arguments


def _body(draw: st.DrawFn, content: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    ((kind, media),) = content.items()
    headers |= {"Content-Type": draw(st.sampled_from([kind, kind, kind, "text/plain"]))}
    example = media.get("example", {})
    names = st.sampled_from(list(_resolved(media["schema"]).get("properties", {})) or ["x"])
    changes = draw(st.dictionaries(names, _WORDS if kind == FORM_TYPE else _VALUES, max_size=3))
    if kind == FORM_TYPE:
        return {"data": example | changes}
    whole = st.one_of(st.just(example | changes), st.just(example), _VALUES).map(
        lambda value: json.dumps(value).encode()
    )
    return {"content": draw(st.one_of(whole, st.binary(max_size=20)))}


@settings(max_examples=300, deadline=None)
@given(asked=_requests(), signed_in=st.booleans(), mode=st.sampled_from(list(FRONTS)))
async def test_every_answer_is_as_documented(asked: Any, signed_in: bool, mode: str) -> None:
    method, documented, path, arguments = asked
    async with FRONTS[mode].client(signed_in=signed_in) as client:
        answer = await client.request(method, path, **arguments)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        problem_of(answer, answer.status_code)
    responses = DOCUMENT["paths"][documented][method.lower()]["responses"]
    promised = _resolved(responses.get(str(answer.status_code), responses["default"]))
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert ([kind] if answer.content else []) == list(promised.get("content", {}))
    if kind.endswith("json"):
        assert _wrong(promised["content"][kind]["schema"], answer.json()) == []
    for name in promised["headers"]:
        assert name in answer.headers or name in ("Retry-After", "Location")
