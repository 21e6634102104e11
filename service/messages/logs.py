"""Logging: one JSON object or one plain line per message, with the request that it belongs to."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# W3C Trace Context, version 00: neither id may be all zeros.
_TRACEPARENT = re.compile(
    rb"00-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-[0-9a-f]{2}"
)
# C0, DEL and C1; Unicode's line ends; what reverses the direction of text; lone surrogates.
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# These speak of every connection, or quote the bytes of a request that they could not parse.
_QUIETED = {
    "uvicorn": logging.WARNING,
    "asyncio": logging.WARNING,
    "PIL": logging.WARNING,
    "python_multipart": logging.ERROR,
}


@dataclass(frozen=True)
class RequestContext:
    """The context of a message: the request's id and, if it is traced, both spans."""

    request_id: str
    trace_id: str | None = None
    parent_span_id: str | None = None
    span_id: str | None = None


_context: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def read_context(request_id: bytes | None, traceparent: bytes | None) -> RequestContext:
    """Reads the context of a request from its headers.

    An acceptable X-Request-Id (1 to 128 letters, digits and `._:-`) is kept, else an id is made. A
    traceparent that does not have W3C's form is ignored.
    """
    if request_id is not None and _ID.fullmatch(request_id):
        identity = request_id.decode()
    else:
        identity = os.urandom(16).hex()
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match is None:
        return RequestContext(identity)
    return RequestContext(identity, match["trace"].decode(), match["span"].decode())


@contextmanager
def log_with(context: RequestContext) -> Iterator[None]:
    """Messages that this task logs inside of the block have the context."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    """Each record as one line of JSON; `extra` fields become members."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        members: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        members |= _list_context()
        members |= _read_extra(record)
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        try:
            return to_json(members, fallback=str).decode()
        except ValueError:  # lone surrogates, as names of files have them: not UTF-8, but JSON
            return json.dumps(members, default=str, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """Time, level, message and the extra fields; for people at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; a traceback follows on lines of its own, indented.

        Control characters are escaped, so that text from a bundle cannot forge a line or control
        the terminal.
        """
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = _read_extra(record) | _list_context()
        pairs = "".join(f" {name}={value}" for name, value in fields.items())
        lines = [f"{moment} {record.levelname.lower():<7} {record.getMessage()}{pairs}"]
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            lines += [f"  {line}" for line in traceback.split("\n")]
        return "\n".join(map(escape_controls, lines))


def escape_controls(text: str) -> str:
    """The text on one line: control characters, line ends and lone surrogates as in Python."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def configure_logging(level: str, form: str) -> None:
    """Sends the messages of all loggers to standard error in one form; replaces earlier handlers.

    `form` is json, text or auto: text if standard error is a terminal, else json.
    """
    handler = logging.StreamHandler(sys.stderr)
    if form == "auto":
        form = "text" if sys.stderr is not None and sys.stderr.isatty() else "json"
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # Not in our lines: looking them up for each would cost more than the line itself. The last one
    # is the source file; Python's logging HOWTO has all of them under "Optimization".
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    for name, least in _QUIETED.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def _list_context() -> dict[str, str]:
    context = _context.get()
    if context is None:
        return {}
    return {name: value for name, value in vars(context).items() if value is not None}


def _read_extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
