"""The pages: `/` with live prices and signals, an account, alerts; `/account`, where links in letters lead; `/docs` to
read and try what can be asked.

Their files lie in `page/`; they need no other host.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from services.gateway.http.routing import endpoint, resource

_FOLDER: Final = Path(__file__).parent / "page"
_FILES: Final[Mapping[str, tuple[str, str, str]]] = {
    "/": ("page.html", "text/html", "The page: live prices and signals, an account, alerts"),
    "/account": ("account.html", "text/html", "The page for forgotten passwords, and where links in letters lead"),
    "/docs": ("docs.html", "text/html", "The page that shows what can be asked"),
    "/static/page.css": ("page.css", "text/css", "How the pages look"),
    "/static/page.js": ("page.js", "text/javascript", "What the first page does"),
    "/static/alerts.js": ("alerts.js", "text/javascript", "What the first page does with alerts"),
    "/static/alert-words.js": ("alert-words.js", "text/javascript", "How it tells of them"),
    "/static/dom.js": ("dom.js", "text/javascript", "What its scripts share"),
    "/static/account.js": ("account.js", "text/javascript", "What that page does"),
    "/static/push.js": ("push.js", "text/javascript", "How the first page has alerts come to this device"),
    "/push-worker.js": ("push-worker.js", "text/javascript", "What shows them while the page is closed"),
    "/static/docs.css": ("docs.css", "text/css", "How the second page looks"),
    "/static/docs.js": ("docs.js", "text/javascript", "What the second page does"),
}
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def page_routes() -> list[Route]:
    return [_file(path, *of_file) for path, of_file in _FILES.items()]


def _file(path: str, name: str, kind: str, summary: str) -> Route:
    content = (_FOLDER / name).read_bytes()

    @endpoint(summary, media=kind, kept=True, name=name.replace(".", "_"))
    async def show() -> Response:
        return Response(content, headers=_HEADERS, media_type=kind)

    return resource(path, GET=show)
