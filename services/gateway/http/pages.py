"""The page at `/`: live prices and signals, an account, alerts. Its files lie in `page/`; it needs no other host."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from services.gateway.http.routing import endpoint, resource

_FOLDER: Final = Path(__file__).parent / "page"
_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("page.html", "text/html"),
    "/static/page.css": ("page.css", "text/css"),
    "/static/page.js": ("page.js", "text/javascript"),
}
_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def page_routes() -> list[Route]:
    return [_file(path, name, kind) for path, (name, kind) in _FILES.items()]


def _file(path: str, name: str, kind: str) -> Route:
    content = (_FOLDER / name).read_bytes()

    @endpoint(f"The file {name}", media=kind, name=name.replace(".", "_"))
    async def show() -> Response:
        return Response(content, headers=_HEADERS, media_type=kind)

    return resource(path, GET=show)
