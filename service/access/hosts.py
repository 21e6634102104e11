"""By which names the service may be called: a page of another site must not reach it by DNS.

A page may let its own name point to 127.0.0.1 (DNS rebinding): the browser then takes this service
for a part of that site, sends it requests and shows the page the answers. It names the site in
Host, and that is refused. What is no browser may send any Host: this keeps nobody else out.
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

        Of a target with a host of its own, `GET http://name/ HTTP/1.1`, servers hand on the path:
        browsers send such targets to proxies alone, and Host with them all the same.
        """
        hosts = _list_hosts(scope["headers"])
        if len(hosts) > 1 or (not hosts and scope.get("http_version") != "1.0"):
            found = "several" if hosts else "none"
            raise Problem("bad_request", f"expected one Host header; found {found}.")
        self.check(hosts[0] if hosts else None)

    def check(self, host_header: str | None) -> None:
        """Checks the value of the Host header; None: there was none, as HTTP/1.0 allows.

        Raises Problem: bad_request if it is no host, unknown_host (421, as RFC 9110 asks of a
        server that does not answer for the name) if it is another's.
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
        f"expected a Host that this service is called by; found {found}. Call it by an allowed "
        "name, or let its operator set BNN_ALLOWED_HOSTS.",
    )
