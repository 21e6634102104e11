"""Servers for tests: `python -m service` as a process, and the same server in a thread."""

import gc
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from service.server.listener import open_listener
from service.server.server import Server
from service.settings.settings import Settings
from tests.service.wire import SECONDS, Address

ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], object], what: str = "") -> None:
    """Returns when the condition holds; it must come to hold."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, f"never happened: {what or condition}"
        time.sleep(0.002)


def make_settings(**changes: Any) -> Settings:
    """Settings whose relations to each other are not checked: small bounds make quick tests."""
    return Settings().model_copy(update=changes)


class ServerProcess:
    """`python -m service` on a free port, its log in a file.

    Stopping is quick, unless the environment sets BNN_DRAIN_DELAY_MS.
    """

    def __init__(
        self,
        log: Path,
        environment: dict[str, str],
        descriptors: int | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        self._log = log

        def limit() -> None:
            if descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        inherited = {k: v for k, v in os.environ.items() if not k.startswith("BNN_")}
        defaults = {"BNN_PORT": "0", "BNN_DRAIN_DELAY_MS": "0"}
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-W", "error::ResourceWarning", "-m", "service"],
                cwd=ROOT,
                env={**inherited, **defaults, **environment},
                stderr=stream,
                preexec_fn=limit,
            )

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    @property
    def address(self) -> Address:
        """Where it listens, once it is ready."""
        url = httpx.URL(self.wait_until_ready())
        assert url.port is not None
        return url.host, url.port

    def wait_until_listening(self) -> str:
        """The service's URL, which it tells before its model is loaded."""
        until = time.monotonic() + SECONDS
        while not (found := re.search(r"http://[\w.\[\]:]+:\d+(?=\W)", self.log)):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.02)
        return found[0].replace("0.0.0.0", "127.0.0.1")

    def wait_until_ready(self) -> str:
        """The service's URL, once it is ready."""
        url = self.wait_until_listening()
        until = time.monotonic() + SECONDS
        while httpx.get(f"{url}/readyz").status_code != 200:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, f"the service did not become ready:\n{self.log}"
            time.sleep(0.02)
        return url

    def send(self, by: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(by)

    def wait(self) -> int:
        """The exit status."""
        return self.process.wait(timeout=SECONDS)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> str:
        """Ends the service by a signal; returns its log."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            self.process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        return self.log


class ServerThread:
    """The service's server in this process, on a real socket, with an engine of the test's."""

    def __init__(self, engine: Any, wait: bool = True, **settings: Any) -> None:
        self.engine = engine
        self.settings = make_settings(port=0, **settings)
        self.app = create_app(self.settings, engine)
        self.scheduler = self.app.state.inference.scheduler
        self.lifecycle = self.app.state.lifecycle
        listener = open_listener("127.0.0.1", 0)
        self.address: Address = listener.getsockname()
        self.server = Server(self.app, self.settings, listener)
        self._is_left_behind = False  # a worker is
        self._thread = threading.Thread(target=self.server.run, name="server", daemon=True)
        self._thread.start()
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until the model is loaded and warm."""
        wait_for(lambda: self.lifecycle.is_started, "the start")
        self.scheduler.unit = 1  # whatever the warm-up found

    @property
    def held(self) -> int:
        """Bytes that bodies hold."""
        held: int = self.app.state.admission.bodies.held
        return held

    def count(self, name: str, **labels: str) -> float:
        """The value of a counter or gauge, 0 where it has none."""
        value = self.app.state.metrics.registry.get_sample_value(name, labels)
        return 0.0 if value is None else float(value)

    def send_little_ahead(self) -> None:
        """The system takes in few bytes of an answer before the client takes them."""
        self.server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def signal(self, by: signal.Signals) -> None:
        """What a signal does in a process of its own."""
        self.server.handle_exit(by, None)

    def join(self) -> None:
        """Waits for the end."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the server does not end"
        self._is_left_behind = self._is_left_behind or self.scheduler.busy > 0

    def stop(self) -> None:
        """Ends it; nothing may be held any more, unless a worker was left behind."""
        self.signal(signal.SIGINT)
        self.join()
        assert self.held == 0 or self._is_left_behind, "bytes of bodies that nobody gave back"
        assert self.count("bnn_requests_in_flight") == 0
        gc.collect(1)  # what nobody retrieved is told now
