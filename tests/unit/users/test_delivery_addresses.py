"""Where a user may have us connect to."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.users.core.delivery_addresses import Target, refused, target


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://example.org", "example.org", "/"),
        ("https://Example.ORG:443/a/b?c=d&e", "example.org", "/a/b?c=d&e"),
        ("https://example.org./x", "example.org", "/x"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", "/"),
        ("https://93.184.216.34/x", "93.184.216.34", "/x"),
        ("https://[2606:2800:220:1::1]/x", "[2606:2800:220:1::1]", "/x"),
        ("https://a_b.example.org/%20?x=%0d%0a", "a_b.example.org", "/%20?x=%0d%0a"),
    ],
)
def test_a_good_url(url: str, authority: str, path: str) -> None:
    found = target(url, loopback=False)
    assert isinstance(found, Target)
    assert (found.scheme, found.authority, found.port, found.path) == ("https", authority, 443, path)
    assert path == "/" or path not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://example.org:8443/",
        "https://example.org:80/",
        "https://example.org:x/",
        "https://user@example.org/",
        "https://user:password@example.org/",
        "https://example.org@127.0.0.1/",
        "https://example.org/#part",
        "https://example.org\\@127.0.0.1/",
        "https://bücher.example/",
        "https://example.org/a b",
        "https://example.org/\r\nX-Evil: 1",
        "https://example.org/\x00",
        "https://exa mple.org/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://" + "a" * 2048,
        "https://" + "a." * 130 + "org/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://localhost/",
        "https://tickroom.localhost/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
    ],
)
def test_a_bad_url(url: str) -> None:
    assert isinstance(target(url, loopback=False), str)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://localhost:1/", True),
        ("http://[::1]:9/", True),
        ("https://localhost:8443/", True),
        ("https://example.org/", True),
        ("http://example.org/", False),
        ("https://example.org:8443/", False),
        ("http://10.0.0.1/", False),
        ("http://localhost.example.org/", False),
    ],
)
def test_for_tests_this_machine_and_nothing_else_is_let_through(url: str, good: bool) -> None:
    assert isinstance(target(url, loopback=True), Target) == good


REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "224.0.1.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1",
    "2002:c0a8:1::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
ALLOWED = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1", "64:ff9b::101:101", "2002:101:101::1"]


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public(address: str) -> None:
    assert refused(ip_address(address), loopback=False)


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address(address: str) -> None:
    assert not refused(ip_address(address), loopback=False)
    assert not refused(ip_address(address), loopback=True)


@given(st.ip_addresses(v=4))
def test_an_address_inside_of_another_counts_as_itself(inner: IPv4Address) -> None:
    expected = refused(inner, loopback=False)
    number = int(inner)
    for outer in ((0xFFFF << 32) | number, (0x64FF9B << 96) | number, (0x2002 << 112) | (number << 80)):
        assert refused(IPv6Address(outer), loopback=False) == expected


@pytest.mark.parametrize("address", REFUSED)
def test_tests_are_let_through_to_this_machine_alone(address: str) -> None:
    own = address in ("127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")
    assert refused(ip_address(address), loopback=True) != own
