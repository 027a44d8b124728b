"""The page: whole, from this host alone, and asking only for what exists."""

import re

import pytest

from tests.unit.gateway.http_fakes import Front


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/static/page.css", "text/css"), ("/static/page.js", "text/javascript")]
)
async def test_the_page_and_its_files_are_served(path: str, kind: str) -> None:
    async with Front().client() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert "'unsafe-" not in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_the_page_needs_no_other_host_and_runs_no_inline_code() -> None:
    async with Front().client() as client:
        html = (await client.get("/")).text
        script = (await client.get("/static/page.js")).text
        for path in re.findall(r'(?:src|href)="(/[^"]*)"', html):
            assert (await client.get(path)).status_code == 200
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", html + script) == []
    assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", html) == []
    assert "innerHTML" not in script
