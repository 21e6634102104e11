"""service.server.listener: sockets as asyncio and containers need them, and an end that resets
nobody.
"""

import contextlib
import errno
import select
import socket
from collections.abc import Iterator

import pytest

from service.server.listener import let_nobody_begin, open_listener


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio turns Nagle's algorithm off only where the socket names its protocol."""
    with open_listener("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_what_a_client_does_not_take_fills_little_of_the_system_s_memory() -> None:
    with (
        open_listener("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as accepted,
    ):
        accepted.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 2**27:
                sent += accepted.send(bytes(2**16))
        held = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        taken = client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert held <= 256 * 2**10
    assert sent <= held + taken  # the client's buffer is its own


def test_listens_on_ipv6() -> None:
    try:
        with open_listener("::1", 0) as listener:
            assert listener.family == socket.AF_INET6
    except OSError as fault:
        pytest.skip(f"this machine has no IPv6 loopback: {fault}")


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    try:
        opened = open_listener(request.param, 0)
    except OSError as fault:
        pytest.skip(f"this machine has no {request.param}: {fault}")
    with opened:
        yield opened


def begin_to_connect(listener: socket.socket) -> socket.socket:
    client = socket.socket(listener.family)
    client.setblocking(False)
    assert client.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
    return client


def test_who_has_begun_to_connect_is_accepted_and_nobody_else(listener: socket.socket) -> None:
    with contextlib.ExitStack() as stack:
        before = [stack.enter_context(begin_to_connect(listener)) for _ in range(50)]
        let_nobody_begin(listener)
        after = stack.enter_context(begin_to_connect(listener))
        for client in before:
            client.setblocking(True)
            client.sendall(b"hello")
        for _ in before:
            accepted = stack.enter_context(listener.accept()[0])
            assert accepted.recv(5) == b"hello"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert select.select([], [after], [], 0)[1] == []
        listener.close()
        assert select.select([], [after], [], 30)[1] == [after]  # it has tried again
        assert after.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        for client in before:  # what is connected stays so
            client.sendall(b"again")
