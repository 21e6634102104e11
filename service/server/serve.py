"""Serves over HTTP until a signal: listening socket, application and server together."""

import contextlib
import gc
import logging
import socket
from time import process_time

from runtime import return_freed_memory
from service.access.access import Access
from service.app import create_app
from service.messages.logs import configure_logging
from service.messages.output import print_error
from service.server.interfaces import list_addresses
from service.server.listener import open_listener
from service.server.notify import Notifier, Supervision
from service.server.server import Server
from service.server.signals import signals_call
from service.server.trace_export import export_traces
from service.settings.environment import log_unknown_variables
from service.settings.settings import Settings

_log = logging.getLogger("service")
#: Max seconds of a shutdown beyond the drain delay and the grace time.
LAST_SECONDS = 5
_LOOPBACK = ("127.", "::1", "localhost")
_ALL_ADDRESSES = ("0.0.0.0", "::")


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT, then answers the requests in progress and returns 0.

    Returns 1 with a message if it cannot serve. To be called in the main thread. Raises
    InvalidSettings if the file of keys cannot be used.
    """
    configure_logging(settings.log_level, settings.log_format)
    log_unknown_variables()
    with contextlib.closing(Notifier()) as notifier:
        return _serve(settings, notifier)


def _serve(settings: Settings, notifier: Notifier) -> int:
    def fail(text: str, number: int | None = None) -> int:
        print_error(text)
        notifier.tell_failure(text, number)
        return 1

    try:
        listener = open_listener(settings.host, settings.port)
    except (socket.gaierror, UnicodeError) as fault:  # UnicodeError: no name can be so
        reason = fault.strerror if isinstance(fault, OSError) else "no host name has this form"
        return fail(
            f"BNN_HOST: expected an address or a name of this machine; found "
            f"{settings.host[:60]!r}: {reason}. 0.0.0.0 stands for all of its addresses."
        )
    except OSError as fault:
        return fail(
            f"cannot listen on {settings.host} port {settings.port}: {fault.strerror or fault}. "
            "Set BNN_HOST to an address of this machine and BNN_PORT to a port that no other "
            "program listens on.",
            fault.errno,
        )
    with listener:
        return_freed_memory()  # of images: before there is a thread, and the memory of one
        host, port = listener.getsockname()[:2]
        app = create_app(settings, bound_host=host)
        lifecycle = app.state.lifecycle
        server = Server(app, settings, listener)
        drain_seconds = (settings.drain_delay_ms + settings.grace_ms) / 1000 + LAST_SECONDS
        supervision = Supervision(notifier, lifecycle, drain_seconds)

        def follow() -> None:
            if lifecycle.fault is not None:
                server.stop()
            elif not lifecycle.is_draining:
                app.state.budget.enforce()
                # What there is now stays until the end: a collection need not visit all of it.
                gc.collect()
                gc.freeze()
            supervision.follow()

        lifecycle.on_change = follow
        _announce(host, port, is_open=app.state.access.is_open)
        _announce_to_other_devices(host, port, app.state.access)
        with signals_call(server.handle_exit), export_traces(app.version):
            server.run()
    if lifecycle.fault is not None:
        return fail(lifecycle.fault)
    return 0


def _announce(host: str, port: int, is_open: bool) -> None:
    shown = f"[{host}]" if ":" in host else host
    cpu_ms = round(process_time() * 1000, 1)
    _log.info("listening", extra={"url": f"http://{shown}:{port}", "cpu_ms": cpu_ms})
    if is_open and not host.startswith(_LOOPBACK):
        _log.warning("reachable from other machines, without authentication")


def _announce_to_other_devices(host: str, port: int, access: Access) -> None:
    """Logs what to open on a phone in the same network, if the service answers such requests."""
    if host in _ALL_ADDRESSES:
        for address in filter(access.allows_host, list_addresses()):
            _log.info("to open on another device", extra={"url": f"http://{address}:{port}"})
