"""service.server.serve: settings, listener and server put together, in this process."""

import gc
import logging
import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.access.access import Access
from service.command_line import run
from service.server.interfaces import list_addresses
from service.server.listener import open_listener
from service.server.serve import _announce_to_other_devices
from service.settings.settings import Settings
from tests.service.servers import wait_for


@pytest.fixture(autouse=True)
def restore_limit() -> Iterator[None]:
    """A service bounds the memory of its process, which is the tests' own here."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)
    gc.unfreeze()


def test_a_port_in_use_is_said_before_the_model_is_loaded(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("service.server.serve.configure_logging", lambda *_: None)
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

    monkeypatch.setattr("service.server.serve._announce", announce)

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
    monkeypatch.setattr("service.server.serve.configure_logging", lambda *_: None)
    monkeypatch.setenv("BNN_PORT", "0")
    monkeypatch.setenv("BNN_BUNDLE", "/nowhere")
    assert run([]) == 1
    assert capsys.readouterr().err.startswith("error: /nowhere/manifest.json")


def test_on_all_addresses_the_log_names_what_a_phone_can_open(
    start_server: Any, tiny: dict[str, str]
) -> None:
    addresses = list_addresses()
    server = start_server(**tiny, BNN_HOST="0.0.0.0", BNN_LOG_FORMAT="text")
    url = server.wait_until_ready()
    port = httpx.URL(url).port
    for address in addresses:
        there = f"http://{address}:{port}"
        assert f"to open on another device url={there}" in server.log
        assert httpx.get(f"{there}/info").status_code == 200
    assert server.stop().count("to open on another device") == len(addresses)


def test_the_log_names_no_address_by_which_the_service_may_not_be_called(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.server.serve.list_addresses", lambda: ["192.168.1.20", "10.0.0.5"])
    access = Access(Settings(allowed_hosts=["10.0.0.0/8"]), "0.0.0.0")
    with caplog.at_level("INFO", logger="service"):
        _announce_to_other_devices("127.0.0.1", 80, access)
        _announce_to_other_devices("0.0.0.0", 80, access)
    assert [record.url for record in caplog.records] == ["http://10.0.0.5:80"]  # type: ignore[attr-defined]
