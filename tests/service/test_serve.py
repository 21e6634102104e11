"""service.serve: settings, listener and server put together, in this process."""

import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.command_line import run
from service.serve import open_listener
from tests.service.servers import wait_for


@pytest.fixture(autouse=True)
def restore_limit() -> Iterator[None]:
    """A service bounds the memory of its process, which is the tests' own here."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)
    gc.unfreeze()


def test_a_port_in_use_is_said_before_the_model_is_loaded(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("service.serve.configure_logging", lambda *_: None)
    with open_listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("BNN_PORT", str(port))
        assert run([]) == 1
    error = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in error
    assert "BNN_PORT" in error


@pytest.mark.parametrize("form", ["json", "text"])
def test_serves_until_interrupted(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, form: str, capfd: Any
) -> None:
    """In this process, where signals, handlers and the event loop are all pytest's."""
    handlers, level = logging.root.handlers, logging.root.level
    settings = {"PORT": "0", "BUNDLE": str(bundle), "ENGINE": "onnx", "LOG_FORMAT": form}
    for name, value in settings.items():
        monkeypatch.setenv(f"BNN_{name}", value)
    monkeypatch.setenv("BNN_PROT", "1")
    ports: list[int] = []
    listening = threading.Event()

    def announce(host: str, port: int, is_open: bool) -> None:
        assert (host, is_open) == ("127.0.0.1", True)
        ports.append(port)
        listening.set()

    monkeypatch.setattr("service.serve._announce", announce)

    def interrupt() -> None:
        assert listening.wait(60)
        try:
            url = f"http://127.0.0.1:{ports[0]}/readyz"
            wait_for(lambda: httpx.get(url).status_code == 200)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        assert run([]) == 0
    finally:
        helper.join()
        logging.root.handlers = handlers
        logging.root.setLevel(level)
        logging.captureWarnings(False)
    assert "unknown setting" in capfd.readouterr().err


def test_a_model_that_cannot_be_loaded_ends_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("service.serve.configure_logging", lambda *_: None)
    monkeypatch.setenv("BNN_PORT", "0")
    monkeypatch.setenv("BNN_BUNDLE", "/nowhere")
    assert run([]) == 1
    assert capsys.readouterr().err.startswith("error: /nowhere/manifest.json")


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
