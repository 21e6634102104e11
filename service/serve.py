"""Serves over HTTP until a signal: listening socket, application and server together."""

import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

from runtime import return_freed_memory
from service.app import create_app
from service.environment import log_unknown_variables
from service.listener import open_listener
from service.logs import configure_logging
from service.output import print_error
from service.server import Server
from service.settings import Settings
from service.trace_export import export_traces

_log = logging.getLogger("service")
_LOOPBACK = ("127.", "::1", "localhost")


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT, then answers what was begun and returns 0.

    Returns 1 with a message if it cannot serve. To be called in the main thread. Raises
    InvalidSettings if the file of keys cannot be used.
    """
    configure_logging(settings.log_level, settings.log_format)
    log_unknown_variables()
    try:
        listener = open_listener(settings.host, settings.port)
    except (socket.gaierror, UnicodeError) as fault:  # UnicodeError: no name can be so
        reason = fault.strerror if isinstance(fault, OSError) else "no host name has this form"
        print_error(
            f"BNN_HOST: expected an address or a name of this machine; found "
            f"{settings.host[:60]!r}: {reason}. 0.0.0.0 stands for all of its addresses."
        )
        return 1
    except OSError as fault:
        print_error(
            f"cannot listen on {settings.host} port {settings.port}: {fault.strerror or fault}. "
            "Set BNN_HOST to an address of this machine and BNN_PORT to a port that no other "
            "program listens on."
        )
        return 1
    with listener:
        return_freed_memory()  # of images: before there is a thread, and the memory of one
        host, port = listener.getsockname()[:2]
        app = create_app(settings, bound_host=host)
        lifecycle = app.state.lifecycle
        server = Server(app, settings, listener)

        def follow() -> None:
            if lifecycle.fault is not None:
                server.stop()
            elif not lifecycle.is_draining:
                app.state.budget.enforce()
                # What there is now stays until the end: a collection need not visit all of it.
                gc.collect()
                gc.freeze()

        lifecycle.on_change = follow
        _announce(host, port, is_open=app.state.access.is_open)
        with _signals_call(server.handle_exit), export_traces(app.version):
            server.run()
    if lifecycle.fault is not None:
        print_error(lifecycle.fault)
        return 1
    return 0


@contextlib.contextmanager
def _signals_call(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT call `handler`, where their default would end the process.

    uvicorn does the same while it serves, and not before and after.
    """
    before = {by: signal.signal(by, handler) for by in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for by, former in before.items():
            signal.signal(by, former)


def _announce(host: str, port: int, is_open: bool) -> None:
    shown = f"[{host}]" if ":" in host else host
    _log.info("listening", extra={"url": f"http://{shown}:{port}"})
    if is_open and not host.startswith(_LOOPBACK):
        _log.warning("reachable from other machines, without authentication")
