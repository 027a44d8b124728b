"""Where we may connect to on behalf of a user: https on port 443 at public addresses."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

MOST_URL: Final = 2048
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_IN_IPV6: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
)
"""IPv4 addresses inside of IPv6 ones: the network, and how far from the right the 32 bits stand."""

_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
_NEVER: Final[tuple[IPv4Network | IPv6Network, ...]] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("3fff::/20"),  # documentation
)
"""What `is_global` of older Pythons lets through."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked, in its parts. host: ASCII, IPv6 without brackets; path: with its query.

    The path is left out of `repr`: it often is a secret.
    """

    scheme: str
    host: str
    port: int
    path: str

    def __repr__(self) -> str:
        return f"Target({self.scheme}://{self.authority}/...)"

    @property
    def authority(self) -> str:
        """As the Host header says it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def target(url: str, *, loopback: bool) -> Target | str:
    """The parts of a URL, or what is wrong with it. loopback: for tests, http and other ports are let through here.

    Whether the host's addresses are allowed is only known when they are: `refused`.
    """
    if len(url) > MOST_URL or not url.isascii() or not url.isprintable() or " " in url:
        return f"must be a URL in ASCII of up to {MOST_URL} characters (international names as xn--...)"
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError:
        return "is not a URL"
    if "\\" in url or "@" in parts.netloc or parts.fragment:
        return "must hold no user, password, fragment or backslash"
    if not (_HOST.fullmatch(host) and len(host) <= 253) and _literal(host) is None:
        return "must name a host"
    if parts.scheme != "https" and not (loopback and parts.scheme == "http" and names_loopback(host)):
        return "must begin with https://"
    port = port if port is not None else 443 if parts.scheme == "https" else 80
    if port != 443 and not (loopback and names_loopback(host)):
        return "must be on port 443"
    literal = _literal(host)
    if (names_loopback(host) and not loopback) or (literal is not None and refused(literal, loopback=loopback)):
        return "must be an address of the public Internet"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def refused(address: Address, *, loopback: bool) -> bool:
    """May nobody connect there for a user? True for every address that is not of the public Internet.

    loopback: those of this machine are allowed (for tests). An IPv4 address inside of an IPv6 one counts as itself.
    """
    inner = _inner(address)
    if inner.is_loopback:
        return not loopback
    return (
        not inner.is_global
        or inner.is_multicast
        or inner.is_reserved
        or (isinstance(inner, IPv6Address) and (inner not in _PUBLIC_IPV6 or inner.scope_id is not None))
        or any(inner in network for network in _NEVER)
    )


def names_loopback(host: str) -> bool:
    """Does this name or address mean this machine, without asking anybody?"""
    literal = _literal(host)
    return host == "localhost" or host.endswith(".localhost") if literal is None else _inner(literal).is_loopback


def _inner(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        for network, shift in _IN_IPV6:
            if address in network:
                return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
