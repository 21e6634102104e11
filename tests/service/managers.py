"""A service manager for tests: the socket of sd_notify(3), and what came over it."""

import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.service.wire import SECONDS


class Manager:
    """Receives datagrams, at a path or under an abstract name."""

    def __init__(self, is_abstract: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory()  # a socket's path has few characters
        path = str(Path(self._folder.name) / "notify")
        if is_abstract:
            path = f"@bnn-test-{os.getpid()}-{id(self)}"
        self.address = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + path[1:] if is_abstract else path)
        self._socket.settimeout(SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._folder.cleanup()

    def describe(self, watchdog_seconds: float | None = None) -> dict[str, str]:
        """The variables that a service gets."""
        result = {"NOTIFY_SOCKET": self.address}
        if watchdog_seconds is not None:
            result["WATCHDOG_USEC"] = str(round(watchdog_seconds * 1e6))
        return result

    def receive(self) -> dict[str, str]:
        """The next message; waits for it."""
        lines = self._socket.recv(65536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def wait_for(self, name: str) -> dict[str, str]:
        """The next message that has a field of this name; what comes before it is dropped."""
        while name not in (message := self.receive()):
            pass
        return message

    def drain(self, seconds: float = 0.0) -> list[dict[str, str]]:
        """What has come, and what comes in so many seconds."""
        until = time.monotonic() + seconds
        messages = []
        try:
            while True:
                self._socket.settimeout(max(0.001, until - time.monotonic()))
                messages.append(self.receive())
        except TimeoutError:
            return messages
        finally:
            self._socket.settimeout(SECONDS)
