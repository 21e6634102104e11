"""The commands: serve over HTTP, the default, and classify, which answers in the shell."""

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from runtime import ENGINES, return_freed_memory
from service.app import create_app
from service.classifier import DEFAULT_TOP_K
from service.commands import classify_files
from service.logs import configure_logging, escape_controls
from service.server import Server
from service.settings import (
    InvalidSettings,
    Settings,
    describe_settings,
    list_unknown_variables,
    read_settings,
)
from service.trace_export import export_traces

_log = logging.getLogger("service")
_BACKLOG = 1024  # connecting clients; the server takes them at once, within its bounds
_LOOPBACK = ("127.", "::1", "localhost")


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failure, 2 for wrong usage."""
    options = _build_parser().parse_args(arguments)
    try:
        if options.command == "classify":
            given = {"bundle": options.bundle, "engine": options.engine}
            settings = read_settings(**{k: v for k, v in given.items() if v is not None})
            configure_logging("warning", "text")
            return classify_files(settings, options.files, options.top_k, options.json)
        return serve(read_settings())
    except InvalidSettings as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing fails at exit
        return 1


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
    return_freed_memory()  # of images: before there is a thread, and the memory of one
    app = create_app(settings)
    lifecycle = app.state.lifecycle
    scheduler, metrics, gate = (app.state.inference.scheduler, app.state.metrics, app.state.gate)
    server = Server(app, settings, listener, lifecycle, scheduler, metrics, gate)

    def stop_without_model() -> None:
        if lifecycle.fault is not None:
            server.stop()

    lifecycle.on_change = stop_without_model
    with listener:
        _announce(listener)
        with _signals_call(server.handle_exit), export_traces(app.version):
            server.run()
    if lifecycle.fault is not None:
        print(f"error: {escape_controls(lifecycle.fault)}", file=sys.stderr)
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


def _announce(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _log.info("listening", extra={"url": f"http://{shown}:{port}"})
    if not host.startswith(_LOOPBACK):
        _log.warning("reachable from other machines, without authentication")


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serves a binary neural network over HTTP, or classifies files (classify).",
        epilog=describe_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="{serve,classify}")
    commands.add_parser("serve", help="serve over HTTP (the default)")
    classify = commands.add_parser("classify", help="print labels and scores of picture files")
    classify.add_argument("files", nargs="+", type=Path, metavar="FILE")
    classify.add_argument(
        "--top-k", type=int, metavar="N", help=f"classes per file (default {DEFAULT_TOP_K})"
    )
    classify.add_argument("--json", action="store_true", help="one JSON object per file and line")
    classify.add_argument("--engine", choices=("auto", *ENGINES), help="default: BNN_ENGINE")
    classify.add_argument("--bundle", type=Path, metavar="DIR", help="default: BNN_BUNDLE")
    return parser
