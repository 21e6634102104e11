"""`python -m service` serves; `python -m service classify FILE...` answers in the shell."""

import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from service.app import create_app
from service.arguments import build_parser
from service.commands import classify_files, print_configuration, print_new_key, print_version
from service.environment import list_unknown_variables
from service.logs import configure_logging, escape_controls
from service.output import print_error, run_command
from service.settings import InvalidSettings, Settings, read_settings

_log = logging.getLogger("service")
_BACKLOG = 128
_LOOPBACK = ("127.", "::1", "localhost")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failure, 2 for wrong usage."""
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        if options.version:
            return print_version()
        if options.print_config:
            return print_configuration(options.config)
        if options.command == "make-key":
            return print_new_key(options.name, options.rate, options.burst)
        if options.command == "classify":
            given = {"bundle": options.bundle, "engine": options.engine}
            given = {field: value for field, value in given.items() if value is not None}
            settings = read_settings(options.config, **given)
            configure_logging("warning", "text")
            return classify_files(settings, options.files, options.top_k, options.json)
        return serve(read_settings(options.config))
    except InvalidSettings as fault:
        for line in str(fault).split("\n"):
            print_error(line)
        return 2


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT, then answers what was begun and returns 0.

    Returns 1 with a message if it cannot serve. To be called in the main thread.
    """
    configure_logging(settings.log_level, settings.log_format)
    for name in list_unknown_variables():
        _log.warning("unknown setting ignored", extra={"setting": name})
    try:
        listener = open_listener(settings.host, settings.port)
    except OSError as fault:
        print(
            f"error: cannot listen on {settings.host} port {settings.port}: "
            f"{fault.strerror or fault}. End the program that does, or set BNN_PORT or BNN_HOST.",
            file=sys.stderr,
        )
        return 1
    app = create_app(settings)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, proxy_headers=False
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    app.state.inference.on_fault = stop
    with listener:
        _announce(listener)
        with _signals_call(stop):
            server.run(sockets=[listener])
    if app.state.inference.fault is not None:
        print(f"error: {escape_controls(app.state.inference.fault)}", file=sys.stderr)
        return 1
    return 0


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket, opened before the model is loaded; raises OSError.

    Its protocol is named, not 0 as socket.create_server has it: asyncio turns Nagle's algorithm
    off only for sockets that say they are TCP, and with it every answer would wait for 40 ms.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGTERM and SIGINT call `stop`, where their default would end the process.

    uvicorn has handlers of its own while it serves, and when it has shut down in order it raises
    the signals that it received once more, for the handlers from before: these.
    """
    before = {by: signal.signal(by, lambda *_: stop()) for by in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for by, handler in before.items():
            signal.signal(by, handler)


def _announce(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info("listening", extra={"url": f"http://{shown}:{port}"})
    if not host.startswith(_LOOPBACK):
        _log.warning("reachable from other machines, without authentication")


if __name__ == "__main__":
    sys.exit(main())
