"""Checks the names by which the service is called, against DNS rebinding.

A page may let its own name point to 127.0.0.1: the browser then treats this service as part of that
site, sends it requests and shows the page the answers. The browser names the site in Host, and such
a Host is refused. Other programs may send any Host: this check does not stop them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from service.messages.problems import Problem
from service.settings.addresses import Host, is_loopback, matches, parse_authority, parse_pattern
from service.settings.settings import Settings


class AllowedHosts:
    """Checks the Host of requests against the setting `allowed_hosts` and the own address."""

    def __init__(self, settings: Settings, bound_host: str) -> None:
        """`bound_host`: the address that the service listens on, or its name."""
        self._patterns = [parse_pattern(entry) for entry in settings.allowed_hosts]
        self._on_loopback = is_loopback(parse_bound_host(bound_host))

    def check_request(self, scope: Mapping[str, Any]) -> None:
        """Checks an ASGI request. Raises Problem bad_request, unknown_host.

        If the target has a host of its own, as in `GET http://name/ HTTP/1.1`, servers pass on only
        the path: browsers send such targets only to proxies, and with a Host header as well.
        """
        hosts = _list_hosts(scope["headers"])
        if len(hosts) > 1 or (not hosts and scope.get("http_version") != "1.0"):
            found = "several" if hosts else "none"
            raise Problem("bad_request", f"expected one Host header; found {found}.")
        self.check(hosts[0] if hosts else None)

    def check(self, host_header: str | None) -> None:
        """Checks the value of the Host header; None: there was none, as HTTP/1.0 allows.

        Raises Problem bad_request if it is no host, unknown_host if it is another's. RFC 9110 asks
        for status 421 if a server does not answer for the name.
        """
        if not self._patterns and not self._on_loopback:
            return
        if host_header is None:  # never from a browser
            if self._patterns:
                raise _describe_unknown("none")
            return
        try:
            host, _ = parse_authority(host_header)
        except ValueError as fault:
            raise Problem(
                "bad_request",
                "expected a name or an address in Host, with or without a port; found something "
                "else.",
            ) from fault
        if self._on_loopback and is_loopback(host):
            return
        if not any(matches(pattern, host) for pattern in self._patterns):
            raise _describe_unknown("another")


def parse_bound_host(text: str) -> Host:
    """An address as sockets write it, or a name, as a host. Raises ValueError."""
    return parse_authority(f"[{text.partition('%')[0]}]" if ":" in text else text)[0]


def _list_hosts(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == b"host"]


def _describe_unknown(found: str) -> Problem:
    return Problem(
        "unknown_host",
        f"expected an allowed name of this service in Host; found {found}. Call it by an allowed "
        "name, or let its operator set BNN_ALLOWED_HOSTS.",
    )
