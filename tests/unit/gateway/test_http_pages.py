"""The pages: whole, from this host alone, and asking only for what exists."""

import re

import pytest

from tests.unit.gateway.http_fakes import Front

PAGES = ("/", "/account", "/docs")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *((page, "text/html") for page in PAGES),
        ("/static/page.css", "text/css"),
        ("/static/page.js", "text/javascript"),
        ("/static/alerts.js", "text/javascript"),
        ("/static/alert-words.js", "text/javascript"),
        ("/static/dom.js", "text/javascript"),
        ("/static/account.js", "text/javascript"),
        ("/static/push.js", "text/javascript"),
        ("/push-worker.js", "text/javascript"),
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


async def test_what_a_script_imports_is_there_and_runs_no_text() -> None:
    async with Front().client() as client:
        waiting, read = ["/static/page.js", "/static/account.js", "/static/docs.js"], dict[str, str]()
        while waiting:
            path = waiting.pop()
            answer = await client.get(path)
            assert answer.status_code == 200, path
            read[path] = answer.text
            waiting += [each for each in re.findall(r'from "([^"]+)"', answer.text) if each not in read]
    assert len(read) == 7
    for script in read.values():
        assert not re.search(r"innerHTML|outerHTML|document\.write|eval\(|https?://(?!www\.w3\.org/)", script)


async def test_predictions_stand_beside_what_they_are_worth() -> None:
    async with Front().client() as client:
        html = (await client.get("/")).text
    assert '<th>Signal</th><th class="number">Right</th><th class="number">Always up</th>' in html


async def test_the_page_of_what_can_be_asked_reads_both_documents() -> None:
    async with Front().client() as client:
        script = (await client.get("/static/docs.js")).text
        asked = re.findall(r'read\("(/[^"]+)"\)', script)
        assert sorted(asked) == ["/asyncapi", "/openapi.json"]
        for path in asked:
            assert (await client.get(path)).headers["content-type"] == "application/json"


@pytest.mark.parametrize("page", PAGES)
async def test_passwords_are_masked_and_password_managers_welcome(page: str) -> None:
    async with Front().client() as client:
        html = (await client.get(page)).text
        script = (await client.get(f"/static/{page.strip('/') or 'page'}.js")).text
    for field in re.findall(r"<input[^>]*password[^>]*>", html):
        assert 'type="password"' in field
        assert "maxlength" not in field
        assert page == "/docs" or re.search(r'autocomplete="(current|new)-password"', field)
    assert "paste" not in html + script


async def test_whoever_logs_out_on_the_page_ends_the_login_too() -> None:
    async with Front().client() as client:
        html, script = (await client.get("/")).text, (await client.get("/static/page.js")).text
    assert '<button id="leave" class="second">Log out</button>' in html
    assert '$("leave").addEventListener("click", () => ask("POST", "/api/v1/logout")' in script


async def test_codes_of_letters_do_not_stay_in_the_address() -> None:
    async with Front().client() as client:
        html, script = (await client.get("/account")).text, (await client.get("/static/account.js")).text
    assert script.index("history.replaceState") < script.index("fetch(")
    assert "location.search" not in script
    assert 'content="no-referrer"' in html
