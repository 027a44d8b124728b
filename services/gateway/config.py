"""Settings of the front door. A bad value stops the start with one line that names the variable and what it accepts."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from services.shared.config import SharedSettings

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 (names what listens everywhere, binds nothing)
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]|\*")

Network = IPv4Network | IPv6Network


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]


class Settings(SharedSettings):
    """What the gateway needs to know; see README for the whole table."""

    host: str = Field("127.0.0.1", description="address that HTTP and WebSocket listen on")
    port: int = Field(8000, ge=0, le=65535, description="0 picks a free one")
    auth_mode: Literal["open", "strict"] | None = Field(
        None,
        description="open: market data and predictions need no token; unset: open where HOST is loopback, else strict",
    )
    anonymous_market_data: bool = Field(True, description="rooms and reads without a token")
    allowed_origins: Words = Field(
        (), description="origins of other sites whose pages may call, by comma; the own one always may"
    )
    allowed_hosts: Words = Field(
        (),
        description="Host names that requests may ask for, by comma (*.example.org, *); unset: loopback names and HOST",
    )
    trusted_proxies: Networks = Field(
        (), description="addresses or networks, by comma, whose X-Forwarded-* is believed"
    )
    requests_per_minute: int = Field(600, ge=0, description="per user, else per address; 0 = no limit")
    replicas: int = Field(
        1, ge=1, description="gateways that run in all; several need REDIS_URL, where they count together"
    )
    max_connections_per_user: int = Field(5, ge=0, description="open sockets of one user; 0 = no limit, as below")
    max_connections_per_address: int = Field(20, ge=0)
    max_symbols_per_connection: int = Field(128, ge=0)
    max_messages_per_second: int = Field(10, ge=0, description="messages that one socket may send")
    max_message_bytes: int = Field(65536, ge=0)
    websocket_compression: bool = Field(
        False, description="permessage-deflate for sockets that ask for it: fewer bytes, more work on both sides"
    )
    coalesce_ms: int = Field(
        0, ge=0, le=10, description="milliseconds over which news for one room are joined into one write; 0 = none"
    )
    workers: int = Field(1, ge=1, le=64, description="gateway processes on this port; several need REDIS_URL")
    max_handshakes_per_second: int = Field(1000, ge=0, description="new sockets that one process lets in; 0 = no limit")
    drain_s: float = Field(
        0.5,
        ge=0,
        le=600,
        description="a stop closes open sockets spread over this time, and lets requests finish in it",
    )

    ring_entries: int = Field(300, ge=0, le=10_000, description="records kept of each symbol, for clients that resume")
    ring_seconds: int = Field(300, ge=1, le=86_400, description="and for how long at most")
    stale_after_s: int = Field(
        900, ge=1, le=604_800, description="seconds of open market without a trade until a price is shown as stale"
    )

    @property
    def loopback(self) -> bool:
        """Do only programs of this machine reach us?"""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def open(self) -> bool:
        """Is the door open (AUTH_MODE)?"""
        return self.auth_mode == "open" or (self.auth_mode is None and self.loopback)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The Host names that are ours, in lower case, IPv6 in brackets."""
        if self.allowed_hosts:
            return self.allowed_hosts
        named = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host.lower()
        return LOOPBACK_HOSTS if self.host in _EVERYWHERE or named in LOOPBACK_HOSTS else (*LOOPBACK_HOSTS, named)

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        lowered = tuple(value.lower().rstrip("/") for value in values)
        for value in lowered:
            if not _ORIGIN.fullmatch(value):
                raise ValueError(
                    f"accepts origins such as https://app.example.org, not {value!r} (a * is never accepted)"
                )
        return lowered

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        lowered = tuple(value.lower() for value in values)
        for value in lowered:
            if not _HOST.fullmatch(value):
                raise ValueError(
                    f"accepts names without a port, such as app.example.org or *.example.org, not {value!r}"
                )
        return lowered

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _proxies(cls, value: object) -> object:
        parts = _split(value)
        if not isinstance(parts, tuple):
            return parts
        try:
            return tuple(ip_network(part) if isinstance(part, str) else part for part in parts)
        except ValueError as error:
            raise ValueError(f"accepts addresses and networks such as 10.0.0.0/8: {error}") from None

    @model_validator(mode="after")
    def _several_count_together(self) -> "Settings":
        for name, gateways in (("REPLICAS", self.replicas), ("WORKERS", self.workers)):
            if gateways > 1 and self.redis_url is None:
                raise ValueError(
                    f"REDIS_URL is required with {name}={gateways}: gateways count requests and connections there"
                )
        return self

    @model_validator(mode="after")
    def _every_host_only_in_strict(self) -> "Settings":
        if self.open and "*" in self.hosts:
            raise ValueError(
                "ALLOWED_HOSTS accepts * only with AUTH_MODE=strict: an open door believes the Host it checks"
            )
        if self.open and self.trusted_proxies:
            raise ValueError("TRUSTED_PROXIES needs AUTH_MODE=strict: an open door refuses whatever a proxy forwards")
        return self
