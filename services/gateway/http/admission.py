"""May this request come in at all? Host, forwarding headers and origin are checked before anything else is done.

An open door trusts this machine, so it must not be fooled by web pages: a foreign `Host` (DNS rebinding) gets 421, a
request that a proxy forwarded gets 403, and whatever has an effect gets 403 when another site's page asked for it.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from services.gateway.config import Settings
from services.gateway.replies import Misdirected
from services.shared.errors import Denied

_WITHOUT_EFFECT: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_EFFECTIVE_READS: Final = ("/train/",)  # paths whose GET starts work: old clients call them so
_LONGEST_HOST: Final = 262  # a name of 255 characters and a port
_OWN_PAGES: Final = frozenset({"same-origin", "none"})  # `none`: the person typed the address
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_WITH_PORT = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\](?::\d{1,5})?|(?P<v4>\d+\.\d+\.\d+\.\d+):\d{1,5}")


@dataclass(slots=True)
class _Claims:
    """What a request says of where it goes to and where it comes from; `site`: Sec-Fetch-Site."""

    hosts: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    site: str = "none"
    forwarded: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of one gateway for requests and handshakes."""

    settings: Settings

    def check(self, scope: Scope) -> None:
        """Raises Misdirected (`foreign_host`) or Denied (`forwarded`, `foreign_origin`)."""
        claims = _claims(scope)
        if not self._is_ours(claims.hosts):
            raise Misdirected("this Host is not served here; ALLOWED_HOSTS names those that are")
        if claims.forwarded and self.settings.open:
            raise Denied(
                "an open door takes no forwarded requests; behind a proxy set AUTH_MODE=strict", code="forwarded"
            )
        if _has_effect(scope):
            self._check_origin(scope, claims)

    def is_foreign(self, scope: Scope, origin: str) -> bool:
        """Is `origin` neither ours nor one of ALLOWED_ORIGINS?"""
        return not self.is_own(scope, origin) and origin.lower() not in self.settings.allowed_origins

    def is_own(self, scope: Scope, origin: str) -> bool:
        """Is `origin` that of the pages which this server itself serves under the Host asked for?"""
        host = Headers(scope=scope).get("host", "").lower()
        scheme = "https" if self.is_secure(scope) else "http"
        return _without_default_port(origin.lower()) == _without_default_port(f"{scheme}://{host}")

    def is_secure(self, scope: Scope) -> bool:
        """Did the caller come by https? Where a trusted proxy ends it, that proxy says so (X-Forwarded-Proto)."""
        secure = scope["scheme"] in ("https", "wss")
        if self.settings.trusted_proxies and scope.get("client") and self._is_trusted(scope["client"][0]):
            said = Headers(scope=scope).get("x-forwarded-proto")
            return secure if not said else said.split(",")[-1].strip().lower() in ("https", "wss")
        return secure

    def client(self, scope: Scope) -> str:
        """Whom limits count: the caller's address (IPv6: its /64), as trusted proxies name it; `local` without one."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not self.settings.trusted_proxies or not self._is_trusted(peer):
            return _counted(peer)
        address = peer
        for hop in reversed(",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")):
            hop = _hop(hop.strip())
            if not _is_address(hop):
                break  # what stands left of it was not written by a proxy that we know
            address = hop
            if not self._is_trusted(address):
                break
        return _counted(address)

    def _check_origin(self, scope: Scope, claims: _Claims) -> None:
        """Every Origin must be welcome; where none is a guest's, the browser must not say that another site asks.

        (Of a socket's handshake browsers always tell the Origin, and not all of them the right Sec-Fetch-Site.)
        """
        foreign = any(self.is_foreign(scope, origin) for origin in claims.origins)
        told = bool(claims.origins) and scope["type"] == "websocket"
        own = not told and all(self.is_own(scope, origin) for origin in claims.origins)
        if foreign or (own and claims.site not in _OWN_PAGES):
            raise Denied("the page of another site may not do this; see ALLOWED_ORIGINS", code="foreign_origin")

    def _is_ours(self, hosts: list[str]) -> bool:
        if len(hosts) != 1 or len(hosts[0]) > _LONGEST_HOST:
            return False
        return _is_served(hosts[0].lower(), self.settings.hosts)

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(_plain(address) in each for each in self.settings.trusted_proxies)


def _claims(scope: Scope) -> _Claims:
    """In one go: this is looked at for every request."""
    claims = _Claims()
    for name, value in scope["headers"]:
        if name == b"host":
            claims.hosts.append(value.decode("latin-1"))
        elif name == b"origin":
            claims.origins.append(value.decode("latin-1"))
        elif name == b"sec-fetch-site":
            claims.site = value.decode("latin-1").lower()
        elif name == b"forwarded" or name.startswith(b"x-forwarded-"):
            claims.forwarded = True
    return claims


def _has_effect(scope: Scope) -> bool:
    if scope["type"] == "websocket" or scope["method"] not in _WITHOUT_EFFECT:
        return True
    return scope["method"] != "OPTIONS" and f"{scope['path']}/".startswith(_EFFECTIVE_READS)


@lru_cache(256)
def _is_served(host: str, served: tuple[str, ...]) -> bool:
    name = _without_port(host)
    return bool(name) and any(_matches(name, allowed) for allowed in served)


def _without_default_port(origin: str) -> str:
    """Browsers leave it out."""
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition("://")[0], ""))


def _hop(text: str) -> str:
    """The address of a hop of X-Forwarded-For; some proxies add its port."""
    found = _WITH_PORT.fullmatch(text)
    return text if found is None else found["v6"] or found["v4"]


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


@lru_cache(4096)
def _counted(address: str) -> str:
    if not _is_address(address):
        return "local"
    parsed = _plain(address)
    return str(ip_network(f"{parsed}/64", strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
