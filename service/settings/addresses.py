"""Host names, addresses and origins, as headers and settings write them; one spelling of each."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

#: A name in lower case, without the root's dot, or an address.
Host = str | IPv4Address | IPv6Address
#: `*` for every host, `*.name` for every name below, a name, an address or a network.
HostPattern = str | IPv4Network | IPv6Network

ANY = "*"
_AUTHORITY = re.compile(r"(?:\[([0-9a-fA-F:.]{2,45})\]|([^\[\]:@/?#\s]*))(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@\s]+)", re.IGNORECASE)
_MAX_NAME = 253
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_authority(text: str) -> tuple[Host, int | None]:
    """Host and port of a Host header: `name`, `name:port`, `1.2.3.4:port`, `[::1]:port`.

    An IPv4 address inside of an IPv6 one is the IPv4 address. Raises ValueError.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError("neither a name nor an address, with or without a port")
    bracketed, name, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and port > 65535:
        raise ValueError("a port above 65535")
    if bracketed is None:
        return parse_host(name), port
    return _unwrap(IPv6Address(bracketed)), port


def parse_host(text: str) -> Host:
    """An IPv4 address or an ASCII name, without a port. Raises ValueError."""
    try:
        return IPv4Address(text)
    except ValueError:
        pass
    name = text.removesuffix(".").lower()
    if len(name) > _MAX_NAME or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError("neither a host name nor an address")
    return name


def parse_pattern(text: str) -> HostPattern:
    """One entry of the setting `allowed_hosts`. Raises ValueError."""
    text = text.strip()
    if text == ANY:
        return ANY
    if "://" in text:
        raise ValueError("a URL; leave out the scheme")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return ip_network(bare, strict=False)
    except ValueError:
        pass
    if text.startswith("*."):
        return f"*.{_parse_name(text[2:])}"
    return _parse_name(text)


def matches(pattern: HostPattern, host: Host) -> bool:
    """Whether a host is what an entry of `allowed_hosts` allows."""
    if pattern == ANY:
        return True
    if isinstance(host, str):
        if not isinstance(pattern, str):
            return False
        return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
    return not isinstance(pattern, str) and host in pattern


def is_loopback(host: Host) -> bool:
    """Whether a host can only be the machine itself: 127.0.0.0/8, ::1, localhost, *.localhost."""
    if isinstance(host, str):
        return host == "localhost" or host.endswith(".localhost")
    return host.is_loopback


def parse_origin(text: str) -> str:
    """An origin as browsers send it: `scheme://host[:port]`, its default port left out; or `*`.

    Raises ValueError.
    """
    text = text.strip()
    if text == ANY:
        return ANY
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError("another form than scheme://host or scheme://host:port, without a path")
    scheme, authority = match[1].lower(), match[2]
    if not authority.startswith("["):
        name, colon, digits = authority.partition(":")
        authority = f"{_encode(name)}{colon}{digits}"
    host, port = parse_authority(authority)
    shown = f"[{host}]" if isinstance(host, IPv6Address) else str(host)
    return f"{scheme}://{shown}" + (
        f":{port}" if port not in (None, _DEFAULT_PORTS.get(scheme)) else ""
    )


def _parse_name(text: str) -> str:
    if "*" in text:
        raise ValueError("a * elsewhere than in *.name")
    host = parse_host(_encode(text))
    if not isinstance(host, str):
        raise ValueError("an address where a name belongs")
    return host


def _encode(name: str) -> str:
    """A name with letters beyond ASCII as browsers send it."""
    if name.isascii():
        return name
    import idna  # half a MiB of tables for names that few have

    try:
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError as fault:
        raise ValueError("no host name") from fault


def _unwrap(address: IPv6Address) -> IPv4Address | IPv6Address:
    return address.ipv4_mapped or address
