"""service.messages.output: any text in any encoding, and no output that is lost without a word."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.messages.output import (
    OutputLost,
    Parser,
    print_bytes,
    print_error,
    print_json,
    print_line,
    print_note,
    run_command,
)

ROOT = Path(__file__).parents[3]
TEXT = "é 中 \U0001f600 \udcff"  # the last as in the name of a file that is no UTF-8
_texts = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)


def open_stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding, errors, newline="\n")


def read(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(stream.encoding)


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("ascii", r"\xe9 \u4e2d \U0001f600 \udcff"),
        ("latin-1", "é \\u4e2d \\U0001f600 \\udcff"),
        ("utf-8", "é 中 \U0001f600 \\udcff"),
    ],
)
def test_what_an_encoding_lacks_is_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str, line: str
) -> None:
    output, errors = open_stream(encoding), open_stream(encoding)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    print_line(TEXT)
    print_error(TEXT)
    assert read(output) == f"{line}\n"
    assert read(errors) == f"error: {line}\n"


@given(text=_texts)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "shift-jis"])
def test_json_stays_json_in_every_encoding(encoding: str, text: str) -> None:
    output = open_stream(encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        print_json({"text": text})
    written = read(output)
    assert written.endswith("\n")
    assert json.loads(written) == {"text": text}


def test_json_is_readable_where_it_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"label": "é中"})
    assert capsys.readouterr().out == '{"label": "é中"}\n'


def test_bytes_are_written_as_they_are_behind_earlier_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = open_stream("ascii")
    monkeypatch.setattr(sys, "stdout", output)
    output.write("a\n")
    print_bytes(b"\xff\n")
    buffer = output.buffer
    assert isinstance(buffer, io.BytesIO)
    assert buffer.getvalue() == b"a\n\xff\n"
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputLost, match="it is closed"):
        print_bytes(b"")


def test_notes_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_note("a\x1b[2J\nb")
    assert capsys.readouterr().err == "a\\x1b[2J\\nb\n"


def test_a_closed_output_is_told_and_closed_errors_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputLost, match="it is closed"):
        print_line("text")

    def command() -> int:
        print_json({})
        return 0

    assert run_command(command) == 1
    assert capsys.readouterr().err.startswith("error: expected a standard output")
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", None)
    print_note("nobody reads this")
    assert capsys.readouterr().out == ""  # print() would have written it here


def test_a_command_has_its_own_status() -> None:
    assert [run_command(lambda status=status: status) for status in (0, 1, 2)] == [0, 1, 2]


def test_help_and_errors_are_printed_as_everything_else_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, errors = open_stream("ascii"), open_stream("ascii")
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    parser = Parser(prog="x", description="é")
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert r"\xe9" in read(output)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["中\x1b[2J"])
    assert caught.value.code == 2
    assert read(errors).endswith("x: error: unrecognized arguments: \\u4e2d\\x1b[2J\n")


# ---- as processes


def run(redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A shell that prints a page of lines to where the redirection leads."""
    program = (
        "import sys; from service.messages.output import print_line, run_command\n"
        "def command():\n    for _ in range(20): print_line('x' * 1000)\n    return 0\n"
        "sys.exit(run_command(command))\n"
    )
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("redirection", "status", "text"),
    [
        (">/dev/null", 0, ""),
        (">/dev/full", 1, "error: expected to write all output; found: No space left on device\n"),
        (">&-", 1, "error: expected a standard output to write to; it is closed\n"),
        (">&- 2>&-", 1, ""),
        (">/dev/full 2>/dev/full", 1, ""),
    ],
)
def test_lost_output_is_one_line_and_a_status(redirection: str, status: int, text: str) -> None:
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = run(redirection)
    assert (done.returncode, done.stderr) == (status, text)
