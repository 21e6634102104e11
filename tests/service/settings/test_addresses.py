"""service.settings.addresses: one spelling of each host and origin, and what is none."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings.addresses import (
    is_loopback,
    matches,
    parse_authority,
    parse_origin,
    parse_pattern,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("LOCALHOST.:8000", "localhost", 8000),
        ("example.org:", "example.org", None),
        ("my_host-1.example.org:80", "my_host-1.example.org", 80),
        ("127.0.0.1:65535", IPv4Address("127.0.0.1"), 65535),
        ("[::1]", IPv6Address("::1"), None),
        ("[0:0:0:0:0:0:0:1]:8000", IPv6Address("::1"), 8000),
        ("[::ffff:127.0.0.1]:1", IPv4Address("127.0.0.1"), 1),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
    ],
)
def test_hosts_of_headers(text: str, host: object, port: int | None) -> None:
    assert parse_authority(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":80", ".", "a..b", "a.b..", "-a", "a-", "a b", "a\tb", " a", "a ", "a,b", "a/b"),
        *("user@localhost", "user:word@localhost", "http://localhost", "localhost:http"),
        *("localhost:-1", "localhost:65536", "localhost:080000", "localhost:80:80", "::1"),
        *("[::1", "::1]", "[::1]x", "[]", "[localhost]", "[fe80::1%25eth0]", "[1.2.3.4]"),
        *("bücher.example", "localhost\u0660", "a" * 64, ".".join(["a" * 50] * 6), "localhost:٨٠"),
    ],
)
def test_what_is_no_host_of_a_header(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|a port above|[Ee]xpected|[Aa]t "):
        parse_authority(text)


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=20))
def test_any_text_is_a_host_or_a_value_error(text: str) -> None:
    try:
        host, port = parse_authority(text)
    except ValueError:
        return
    assert host
    assert port is None or 0 <= port <= 65535
    written = f"[{host}]" if isinstance(host, IPv6Address) else str(host)
    assert parse_authority(written) == (host, None)


@pytest.mark.parametrize(
    "text",
    ["localhost", "a.localhost.", "127.0.0.1", "127.255.3.4:80", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_loopback(text: str) -> None:
    assert is_loopback(parse_authority(text)[0])


@pytest.mark.parametrize(
    "text",
    [
        *("localhost.example.org", "mylocalhost", "127.0.0.1.example.org", "127.1", "0.0.0.0"),
        *("128.0.0.1", "[::2]", "[::]", "[::ffff:8.8.8.8]", "2130706433", "0x7f.0.0.1"),
    ],
)
def test_no_loopback(text: str) -> None:
    assert not is_loopback(parse_authority(text)[0])


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("example.org", ["EXAMPLE.org.:80"], ["a.example.org", "example.orga", "10.0.0.1"]),
        ("*.Example.org", ["a.example.org", "a.b.example.org"], ["example.org", "aexample.org"]),
        ("10.1.2.3", ["10.1.2.3:80"], ["10.1.2.4", "10.1.2.3.example.org"]),
        ("10.0.0.0/8", ["10.1.2.3"], ["11.0.0.0", "[::1]", "a.b"]),
        ("[fd00::1]", ["[fd00::1]:80"], ["[fd00::2]"]),
        ("fd00::/8", ["[fd12::]"], ["[fe80::1]", "10.0.0.1"]),
        ("Bücher.example", ["xn--bcher-kva.example"], ["bucher.example"]),
        ("*", ["a", "10.0.0.1", "[::1]"], []),
    ],
)
def test_patterns(pattern: str, fits: list[str], misses: list[str]) -> None:
    parsed = parse_pattern(pattern)
    assert parse_pattern(str(parsed)) == parsed
    assert all(matches(parsed, parse_authority(text)[0]) for text in fits)
    assert not any(matches(parsed, parse_authority(text)[0]) for text in misses)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a b", "http://a", "a:80", "a/b", "*a.b", "a.*.b", "*.*.b", "*.", "*.10.0.0.1"),
        *("10.0.0.0/33", "[::1]:80", "user@a", "\ufdd0.example"),
    ],
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|URL|a \* elsewhere|an address where|no host"):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Example.org", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[0::1]:3000", "http://[::1]:3000"),
        ("https://bücher.example:81", "https://xn--bcher-kva.example:81"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("*", "*"),
    ],
)
def test_origins_are_spelt_as_browsers_do(text: str, origin: str) -> None:
    assert parse_origin(text) == origin
    assert parse_origin(origin) == origin


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.org", "null", "https://", "https://a/", "https://a/b", "https://a?b"),
        *("https://u@a", "https://*.a", "https://a:b", "//a", "https://a b", "https:// a"),
    ],
)
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match=r"another form|neither"):
        parse_origin(text)
