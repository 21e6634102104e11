"""Tells systemd the state of the service: ready, stopping, failed, alive.

No library is needed. The protocol is sd_notify(3): lines NAME=VALUE in a datagram to the socket
that NOTIFY_SOCKET names. Other service managers use it, too. The variables stay in the environment,
as the service has no child processes.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Mapping

from service.messages.logs import escape_controls
from service.messages.problems import Problem
from service.work.lifecycle import Lifecycle

_log = logging.getLogger(__name__)
_SEND_SECONDS = 0.5  # for a manager that is behind with reading; it holds up the caller
_MAX_TEXT = 500  # characters of a status


class Notifier:
    """Sends messages to the service manager; does nothing if there is none. Thread-safe.

    `ping_seconds` is the interval at which the manager expects a sign of life; None: never. If the
    socket cannot be used, one warning is logged, and nothing more is sent.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET") or None
        self._socket: socket.socket | None = None
        self.ping_seconds = None if self._address is None else _read_watchdog(environment)
        if self._address is not None:
            self._open(self._address)

    def tell_ready(self, text: str) -> None:
        """Tells that the start is complete."""
        self._send(READY=1, STATUS=text)

    def tell_stopping(self, text: str, seconds: float) -> None:
        """Tells that the shutdown has begun; this time limit overrides that of the unit file."""
        self._send(STOPPING=1, STATUS=text, EXTEND_TIMEOUT_USEC=round(seconds * 1e6))

    def tell_status(self, text: str) -> None:
        """Sends a line for people, which `systemctl status` shows."""
        self._send(STATUS=text)

    def tell_failure(self, text: str, number: int | None = None) -> None:
        """Tells why the service ends; `number` is an errno."""
        self._send(STATUS=text, ERRNO=number or errno.EINVAL)

    def ping(self) -> None:
        """All is well."""
        self._send(WATCHDOG=1)

    def close(self) -> None:
        """Closes the socket; nothing more is sent."""
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()

    def _open(self, address: str) -> None:
        if address[0] not in "/@" or len(address) < 2:
            self._give_up("expected a path or an abstract socket, @name")
            return
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        opened.settimeout(_SEND_SECONDS)
        try:
            opened.connect("\0" + address[1:] if address[0] == "@" else address)
        except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
            opened.close()
            self._give_up(str(fault))
            return
        self._socket = opened

    def _send(self, **fields: str | int) -> None:
        opened = self._socket
        if opened is None:
            return
        lines = [f"{name}={_write(value)}" for name, value in fields.items()]
        try:
            opened.send("\n".join(lines).encode(errors="backslashreplace"))
        except TimeoutError:
            _log.warning("the service manager does not read its socket; a message is lost")
        except OSError as fault:
            self.close()
            self._give_up(str(fault))

    def _give_up(self, reason: str) -> None:
        self.ping_seconds = None
        _log.warning(
            "NOTIFY_SOCKET cannot be used; the service manager gets no messages",
            extra={"socket": self._address, "fault": reason},
        )


class Supervision:
    """Tells the manager the phases of the lifecycle, and pings it from the event loop.

    So if the event loop or a worker hangs, the pings stop.
    """

    def __init__(self, notifier: Notifier, lifecycle: Lifecycle, drain_seconds: float) -> None:
        self._notifier = notifier
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self._is_ready = False
        self._is_alive = True

    def follow(self) -> None:
        """Sends the present phase; to be called on the event loop when the lifecycle changed."""
        if self._lifecycle.fault is not None:
            return  # whoever ends the process tells it
        if self._lifecycle.is_draining:
            self._notifier.tell_stopping("stopping: answers what has begun", self._drain_seconds)
        elif not self._is_ready:
            self._is_ready = True
            self._notifier.tell_ready("ready")
            if self._notifier.ping_seconds is not None:
                self._beat(asyncio.get_running_loop())

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        seconds = self._notifier.ping_seconds
        if seconds is None:  # the socket is gone
            return
        try:
            self._lifecycle.check_alive()
        except Problem as problem:
            if self._is_alive:
                _log.error("a worker hangs; the service manager gets no more signs of life")
                self._notifier.tell_status(f"hanging: {problem.detail}")
            self._is_alive = False
        else:
            if not self._is_alive:
                self._notifier.tell_status("ready")
            self._is_alive = True
            self._notifier.ping()
        loop.call_later(seconds, self._beat, loop)


def _read_watchdog(environment: Mapping[str, str]) -> float | None:
    """Half of the manager's timeout in seconds, if it waits for this process."""
    text = environment.get("WATCHDOG_USEC")
    if not text or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        _log.warning(
            "WATCHDOG_USEC: expected microseconds, a whole number above 0; the service manager "
            "gets no pings",
            extra={"found": text[:60]},
        )
        return None
    return int(text) / 2e6


def _write(value: str | int) -> str:
    """Puts a text on one line: a second line would be another message."""
    return escape_controls(value)[:_MAX_TEXT] if isinstance(value, str) else str(value)
