"""The pages: whole, from this host alone, and asking only for what exists."""

import re

import pytest

from tests.unit.gateway.http_fakes import Front

PAGES = ("/", "/docs")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *((page, "text/html") for page in PAGES),
        ("/static/page.css", "text/css"),
        ("/static/page.js", "text/javascript"),
        ("/static/docs.css", "text/css"),
        ("/static/docs.js", "text/javascript"),
    ],
)
async def test_the_pages_and_their_files_are_served(path: str, kind: str) -> None:
    async with Front().client() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert "'unsafe-" not in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_needs_no_other_host_and_runs_no_inline_code(page: str) -> None:
    async with Front().client() as client:
        html = (await client.get(page)).text
        paths = re.findall(r'(?:src|href)="(/[^"]*)"', html)
        files = [await client.get(path) for path in paths]
    assert [answer.status_code for answer in files] == [200] * len(paths)
    (script,) = (answer.text for answer in files if "javascript" in answer.headers["content-type"])
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", html + script) == []
    assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", html) == []
    assert "innerHTML" not in script


async def test_the_page_of_what_can_be_asked_reads_both_documents() -> None:
    async with Front().client() as client:
        script = (await client.get("/static/docs.js")).text
        asked = re.findall(r'read\("(/[^"]+)"\)', script)
        assert sorted(asked) == ["/asyncapi", "/openapi.json"]
        for path in asked:
            assert (await client.get(path)).headers["content-type"] == "application/json"
