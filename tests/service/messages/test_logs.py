"""service.messages.logs: the schema of a line, request ids, trace context, and what is kept
quiet.
"""

import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from service.messages.logs import (
    RequestContext,
    configure_logging,
    escape_controls,
    log_with,
    read_context,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """configure_logging changes the process: undone after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for name in ("uvicorn", "asyncio", "PIL", "python_multipart"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_json_line_has_the_documented_members(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    with log_with(RequestContext("abc", TRACE, SPAN)):
        logging.getLogger("service.x").info("hello %s", "you", extra={"status": 200})
    line = json.loads(capsys.readouterr().err)
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "info",
        "logger": "service.x",
        "message": "hello you",
        "request_id": "abc",
        "trace_id": TRACE,
        "parent_span_id": SPAN,
        "status": 200,
    }


def test_an_exception_stays_on_its_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        logging.getLogger("x").exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "broken" in json.loads(lines[0])["exception"]


def test_a_name_that_is_no_text_is_json_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logging.getLogger("x").info("found", extra={"reason": "caf\udce9", "path": Path("a")})
    line = json.loads(capsys.readouterr().err)
    assert (line["reason"], line["path"]) == ("caf\udce9", "a")


def test_a_text_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    logging.getLogger("x").warning("careful", extra={"status": 5})
    logging.getLogger("x").debug("not shown")
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning careful status=5\n", capsys.readouterr().err)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("failed")
    assert "ValueError: broken" in capsys.readouterr().err


def test_no_text_forges_a_line_or_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "text")
    hostile = "a\n00:00:00 error forged\r\x1b[2J\x9b\u2028\u202e\ud800"
    logging.getLogger("x").info("model %s", hostile, extra={"reason": hostile})
    try:
        raise ValueError(hostile)
    except ValueError:
        logging.getLogger("x").exception("failed")
    first, second, *traceback = capsys.readouterr().err.splitlines()
    assert first.count(r"a\n00:00:00 error forged\r\x1b[2J\x9b\u2028\u202e\ud800") == 2
    assert second.endswith("error   failed")
    assert all(line.startswith("  ") for line in traceback)
    assert traceback[-1].endswith(r"\x1b[2J\x9b\u2028\u202e\ud800")


def test_ordinary_text_is_not_escaped() -> None:
    assert escape_controls("Zürich 東京 😀 \\n") == "Zürich 東京 😀 \\n"


def test_libraries_that_quote_requests_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json")
    logging.getLogger("python_multipart.multipart").warning("Expected boundary, got secret")
    logging.getLogger("uvicorn.error").info("connection")
    assert capsys.readouterr().err == ""


def test_warnings_become_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("odd metadata", stacklevel=1)
    assert json.loads(capsys.readouterr().err)["logger"] == "py.warnings"


@pytest.mark.parametrize("given", ["abc", "A-1_2.3:4", "x" * 128])
def test_an_acceptable_request_id_is_kept(given: str) -> None:
    assert read_context(given.encode(), None) == RequestContext(given)


@pytest.mark.parametrize(
    "given", [None, b"", b"x" * 129, b"a b", b"a\nb", b'a"b', b"\xe9", b"\xc3\xa9", b"{}", b"<b>"]
)
def test_any_other_request_id_is_replaced(given: bytes | None) -> None:
    made = read_context(given, None).request_id
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made != read_context(given, None).request_id


def test_a_trace_parent_is_taken_over() -> None:
    given = f"00-{TRACE}-{SPAN}-01".encode()
    assert read_context(b"a", given) == RequestContext("a", TRACE, SPAN)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_a_broken_trace_parent_is_ignored(given: str) -> None:
    assert read_context(b"a", given.encode()) == RequestContext("a")


@pytest.mark.parametrize("at_terminal", [True, False])
def test_auto_is_text_at_a_terminal_and_json_elsewhere(
    monkeypatch: pytest.MonkeyPatch, at_terminal: bool
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: at_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("info", "auto")
    logging.getLogger("service.x").info("hello")
    assert stream.getvalue().startswith("{") is not at_terminal
    assert "hello" in stream.getvalue()


def test_without_a_standard_error_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has none where its descriptor was closed at the start."""
    monkeypatch.setattr(sys, "stderr", None)
    configure_logging("info", "auto")
    assert logging.getLogger().handlers
