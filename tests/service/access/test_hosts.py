"""service.access.hosts: rebound names are refused, by the header alone and through real servers."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from service.access.hosts import AllowedHosts, parse_bound_host
from service.messages.problems import Problem
from service.settings.settings import Settings


def check(host: str | None, bound: str, *allowed: str) -> str:
    """ "ok" or the code of the problem."""
    try:
        AllowedHosts(Settings(allowed_hosts=allowed), bound).check(host)
    except Problem as problem:
        return problem.code
    return "ok"


def test_what_was_sent_is_not_quoted() -> None:
    for host in ("evil.example", "not a host"):
        with pytest.raises(Problem) as caught:
            AllowedHosts(Settings(), "127.0.0.1").check(host)
        assert host not in str(caught.value)


@pytest.mark.parametrize("bound", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_on_a_loopback_address_only_the_machines_own_names_are_answered(bound: str) -> None:
    for host in ("localhost", "LocalHost.:8000", "127.0.0.1:8000", "[::1]", "a.localhost", None):
        assert check(host, bound) == "ok"
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "192.168.1.5"):
        assert check(host, bound) == "unknown_host"
    for host in ("", "user@localhost", "localhost:x", "::1", "b\xfccher.example", "a, b"):
        assert check(host, bound) == "bad_request"


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "192.168.1.5", "fe80::1%eth0", "myhost"])
def test_elsewhere_every_name_is_answered(bound: str) -> None:
    for host in ("evil.example", "localhost", "10.0.0.1:80", "", "user@x", None):
        assert check(host, bound) == "ok"


def test_allowed_names_are_answered_and_no_others() -> None:
    allowed = ("api.example.org", "*.example.net", "10.0.0.0/8")
    for host in ("API.example.org.:80", "a.b.example.net", "10.2.3.4:8000"):
        assert check(host, "0.0.0.0", *allowed) == check(host, "127.0.0.1", *allowed) == "ok"
    for host in ("example.net", "x.api.example.org", "11.0.0.1", None):
        assert check(host, "0.0.0.0", *allowed) == "unknown_host"
    assert check("localhost", "0.0.0.0", *allowed) == "unknown_host"
    assert check("localhost", "127.0.0.1", *allowed) == "ok"  # as well
    assert check("evil.example", "127.0.0.1", *allowed) == "unknown_host"
    assert check("evil.example", "127.0.0.1", "*") == "ok"


def test_sockets_addresses_are_hosts() -> None:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as own:
                own.bind((address, 0))
                assert str(parse_bound_host(own.getsockname()[0])) == address
        except OSError as fault:
            pytest.skip(f"this machine has no {address}: {fault}")


@pytest.mark.parametrize(
    ("hosts", "version", "code"),
    [
        ([b"localhost"], "1.1", None),
        ([], "1.0", None),
        ([], "1.1", "bad_request"),
        ([b"localhost", b"localhost"], "1.1", "bad_request"),
        ([b"localhost", b"evil.example"], "1.0", "bad_request"),
        ([b"evil.example"], "1.0", "unknown_host"),
        ([b"b\xc3\xbccher.example"], "1.1", "bad_request"),
    ],
)
def test_the_headers_of_a_request(hosts: list[bytes], version: str, code: str | None) -> None:
    allowed = AllowedHosts(Settings(), "127.0.0.1")
    headers = [(b"accept", b"*/*"), *((b"host", host) for host in hosts)]
    scope = {"type": "http", "headers": headers, "http_version": version}
    if code is None:
        allowed.check_request(scope)
    else:
        with pytest.raises(Problem, match=code):
            allowed.check_request(scope)


@contextmanager
def serve(allowed: AllowedHosts) -> Iterator[int]:
    """A real server that checks each request; its port."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            allowed.check_request(scope)
        except Problem as problem:
            status = problem.definition.status
        else:
            status = 204
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def test_through_a_real_server() -> None:
    with serve(AllowedHosts(Settings(), "127.0.0.1")) as port:
        for head, status in {
            "GET / HTTP/1.1\r\nHost: localhost:{port}": b"204",
            "GET / HTTP/1.0": b"204",
            "GET / HTTP/1.1\r\nHost: evil.example:{port}": b"421",
            "GET / HTTP/1.1\r\nHost: u@localhost": b"400",
            "GET / HTTP/1.1": b"400",
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example": b"400",
            "GET http://localhost:{port}/ HTTP/1.1\r\nHost: evil.example": b"421",
        }.items():
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                request = f"{head}\r\nConnection: close\r\n\r\n".format(port=port)
                connection.sendall(request.encode())
                assert connection.makefile("rb").readline().split()[1] == status, head
