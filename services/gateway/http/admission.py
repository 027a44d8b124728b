"""May this request come in at all? Host, forwarding headers and origin are checked before anything else is done.

An open door trusts this machine, so it must not be fooled by web pages: a foreign `Host` (DNS rebinding) gets 421, a
request that a proxy forwarded gets 403, and whatever has an effect gets 403 when another site's page asked for it.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from services.gateway.config import Settings
from services.gateway.replies import Misdirected
from services.shared.errors import Denied

_WITHOUT_EFFECT: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGES: Final = frozenset({"same-origin", "none"})  # `none`: the person typed the address


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of one gateway for requests and handshakes."""

    settings: Settings

    def check(self, scope: Scope) -> None:
        """Raises Misdirected (`foreign_host`) or Denied (`forwarded`, `foreign_origin`)."""
        headers = Headers(scope=scope)
        if not self._is_ours(headers.getlist("host")):
            raise Misdirected("this Host is not served here; ALLOWED_HOSTS names those that are")
        if self.settings.open and _is_forwarded(headers):
            raise Denied(
                "an open door takes no forwarded requests; behind a proxy set AUTH_MODE=strict", code="forwarded"
            )
        if scope["type"] == "websocket" or scope["method"] not in _WITHOUT_EFFECT:
            self._check_origin(scope, headers)

    def is_foreign(self, scope: Scope, origin: str) -> bool:
        """Is `origin` neither ours nor one of ALLOWED_ORIGINS?"""
        return not self.is_own(scope, origin) and origin.lower() not in self.settings.allowed_origins

    def is_own(self, scope: Scope, origin: str) -> bool:
        """Is `origin` that of the pages which this server itself serves under the Host asked for?"""
        headers = Headers(scope=scope)
        return origin.lower() == f"{self._scheme(scope, headers)}://{headers.get('host', '').lower()}"

    def client(self, scope: Scope) -> str:
        """Whom limits count: the caller's address (IPv6: its /64), as trusted proxies name it; `local` without one."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not self._is_trusted(peer):
            return _counted(peer)
        address = peer
        for hop in reversed(",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")):
            if not _is_address(hop.strip()):
                break  # what stands left of it was not written by a proxy that we know
            address = hop.strip()
            if not self._is_trusted(address):
                break
        return _counted(address)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origins = headers.getlist("origin")
        if origins:
            foreign = any(self.is_foreign(scope, origin) for origin in origins)
        else:
            foreign = headers.get("sec-fetch-site", "none") not in _OWN_PAGES
        if foreign:
            raise Denied("the page of another site may not do this; see ALLOWED_ORIGINS", code="foreign_origin")

    def _is_ours(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = _without_port(hosts[0].lower())
        return bool(name) and any(_matches(name, allowed) for allowed in self.settings.hosts)

    def _scheme(self, scope: Scope, headers: Headers) -> str:
        scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
        if scope.get("client") and self._is_trusted(scope["client"][0]):
            scheme = (headers.get("x-forwarded-proto") or scheme).split(",")[-1].strip().lower()
        return scheme

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(_plain(address) in each for each in self.settings.trusted_proxies)


def _is_forwarded(headers: Headers) -> bool:
    return any(name == "forwarded" or name.startswith("x-forwarded-") for name in headers)


def _without_port(host: str) -> str:
    """`host` of a Host header without its port; empty where it is none."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host
    return name if port.isascii() and port.isdigit() else ""


def _matches(name: str, allowed: str) -> bool:
    return allowed in ("*", name) or (allowed.startswith("*.") and name.endswith(allowed[1:]))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _plain(address: str) -> object:
    """An IPv4 address also where it came mapped into IPv6 (`::ffff:10.0.0.1`)."""
    parsed = ip_address(address)
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


def _counted(address: str) -> str:
    if not _is_address(address):
        return "local"
    parsed = _plain(address)
    return str(ip_network(f"{parsed}/64", strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
