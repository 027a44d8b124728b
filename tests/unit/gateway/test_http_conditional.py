"""ETags and compression: what is sent again, what is not, and what caches may make of it."""

import gzip
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from services.gateway.backends import Bar, History, HistoryQuestion, Ticker
from services.gateway.http.conditional import takes_gzip
from tests.unit.gateway.http_fakes import Front

HISTORY = "/api/stocks/history?symbol=AAPL"
PLAIN = {"Accept-Encoding": "identity"}


def _bars(count: int) -> list[Bar]:
    return [
        Bar(f"2012-{1 + number // 28:02}-{1 + number % 28:02}", "", 1.5, 2.5, 1.25, 2.0, 1e6, "replay")
        for number in range(count)
    ]


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Front:
    """Its history has 100 bars: enough to be compressed."""
    front = Front()

    async def history(question: HistoryQuestion) -> History:
        return History("AAPL", _bars(100), "")

    monkeypatch.setattr(front.stock_data, "history", history)
    return front


@pytest.mark.parametrize("path", [HISTORY, "/tickers"])
async def test_what_the_caller_has_is_not_sent_again(path: str) -> None:
    async with Front().client() as client:
        first = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
        head = await client.head(path, headers={"If-None-Match": first.headers["etag"]})
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["etag"].startswith('"')
    for answer in (again, head):
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == first.headers["etag"]
        assert answer.headers["cache-control"] == "no-cache"
        assert "content-type" not in answer.headers
        assert "content-length" not in answer.headers
        assert answer.headers["x-request-id"]
        assert answer.headers["ratelimit"]


async def test_another_content_has_another_etag(monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front()
    async with front.client() as client:
        first = await client.get("/tickers")

        async def tickers() -> Sequence[Ticker]:
            return [Ticker("AAPL", "Technology", 251, "2012-01-03", "2012-06-04")]

        monkeypatch.setattr(front.stock_data, "tickers", tickers)
        changed = await client.get("/tickers", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("{}", 304),
        ("W/{}", 304),
        ('"other", {}', 304),
        ('"other",W/{}', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
        ("nonsense", 200),
    ],
)
async def test_if_none_match_is_read_as_the_standard_says(form: str, status: int) -> None:
    async with Front().client() as client:
        tag = (await client.get("/tickers")).headers["etag"]
        answer = await client.get("/tickers", headers={"If-None-Match": form.format(tag)})
    assert answer.status_code == status


async def test_a_refusal_is_not_kept() -> None:
    async with Front().client() as client:
        for answer in (await client.get("/api/stocks/history?symbol="), await client.get("/health")):
            assert answer.headers["cache-control"] == "no-store"
            assert "etag" not in answer.headers


async def test_an_answer_to_a_body_is_not_kept_for_the_same_address() -> None:
    async with Front().client() as client:
        answer = await client.request("GET", "/api/stocks/history", json={"symbol": "Apple"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


async def test_each_representation_has_its_own_strong_etag(front: Front) -> None:
    async with front.client() as client:
        plain = await client.get(HISTORY, headers=PLAIN)
        packed = await client.get(HISTORY, headers={"Accept-Encoding": "gzip"})
        answers = [
            await client.get(HISTORY, headers={"Accept-Encoding": encoding, "If-None-Match": each.headers["etag"]})
            for each in (plain, packed)
            for encoding in ("gzip", "identity")
        ]
    assert plain.headers["etag"] != packed.headers["etag"]
    assert [each.headers["etag"] for each in answers] == [plain.headers["etag"]] * 2 + [packed.headers["etag"]] * 2
    assert {each.status_code for each in answers} == {304}
    assert {each.headers["vary"] for each in (plain, packed, *answers)} == {"Accept-Encoding"}


@pytest.mark.parametrize("bars", [100, 1000], ids=["at_once", "in_a_thread"])
async def test_long_answers_are_compressed(front: Front, monkeypatch: pytest.MonkeyPatch, bars: int) -> None:
    async def history(question: HistoryQuestion) -> History:
        return History("AAPL", _bars(bars), "")

    monkeypatch.setattr(front.stock_data, "history", history)
    async with front.client() as client:
        plain = await client.get(HISTORY, headers=PLAIN)
        async with client.stream("GET", HISTORY, headers={"Accept-Encoding": "gzip"}) as packed:
            raw = b"".join([chunk async for chunk in packed.aiter_raw()])
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-length"] == str(len(raw))
    assert len(raw) < len(plain.content) / 5
    assert gzip.decompress(raw) == plain.content


async def test_short_answers_are_not_compressed() -> None:
    async with Front().client() as client:
        answer = await client.get("/tickers", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


async def test_long_problems_are_compressed_too() -> None:
    wrong = {f"unknown_{number}": 1 for number in range(30)}
    async with Front().client(signed_in=True) as client:
        answer = await client.post("/api/v1/alerts", json=wrong, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 422
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["errors"]) >= 30


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        (b"gzip", True),
        (b"gzip, deflate, br", True),
        (b"br;q=1.0, gzip;q=0.8", True),
        (b"GZIP ; q=0.001", True),
        (b"*", True),
        (b"x-gzip", True),
        (b"", False),
        (b"identity", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"*, gzip;q=0", False),
        (b"br, *;q=0", False),
        (b"notgzip", False),
    ],
)
def test_who_takes_gzip(accepted: bytes, takes: bool) -> None:
    assert takes_gzip(accepted) is takes


async def _events(_request: Request) -> Response:
    async def lines() -> object:
        yield b"data: " + b"x" * 5000 + b"\n\n"
        yield b"data: y\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")  # type: ignore[arg-type]


async def _image(_request: Request) -> Response:
    return Response(bytes(5000), media_type="image/png")


async def _packed(_request: Request) -> Response:
    return Response(gzip.compress(bytes(5000)) * 100, headers={"Content-Encoding": "gzip"}, media_type="text/plain")


@pytest.mark.parametrize("path", ["/events", "/image", "/packed"])
async def test_streams_and_what_is_packed_already_pass_as_they_are(path: str) -> None:
    routes = [Route("/events", _events), Route("/image", _image), Route("/packed", _packed)]
    async with (
        Front(routes).client() as client,
        client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert "vary" not in answer.headers
    assert (answer.headers.get("content-encoding") == "gzip") == (path == "/packed")
    assert len(raw) >= 1000


async def test_the_pages_files_and_documents_are_asked_for_again_with_their_etag() -> None:
    async with Front().client() as client:
        for path in ("/", "/static/page.js", "/static/page.css"):
            first = await client.get(path)
            again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
            assert (first.status_code, again.status_code) == (200, 304), path
            # these headers take the place of those that the browser has kept
            assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
