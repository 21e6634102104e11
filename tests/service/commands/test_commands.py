"""service.commands.commands: settings, keys, the version."""

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from service.__main__ import main
from service.access.key_file import parse_keys
from service.settings.settings import Settings, read_settings

# ---- settings


def test_printed_settings_are_a_settings_file(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    file = tmp_path / "own\n.toml"
    file.write_text('port = 7\nbundle = "a \\"b\\" \u202e中"\nallowed_hosts = ["a.b", "*.c"]')
    monkeypatch.setenv("BNN_DEADLINE_MS", "1234")
    assert main(["--config", str(file), "--print-config"]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert "port = 7  # file " + str(file).replace("\n", r"\n") in lines
    assert "deadline_ms = 1234  # variable BNN_DEADLINE_MS" in lines
    assert "queue_images = 64  # default" in lines
    assert "# models is not set  # default" in lines
    assert "# api_keys_file is not set  # default" in lines
    monkeypatch.delenv("BNN_DEADLINE_MS")
    printed = tmp_path / "printed.toml"
    printed.write_text(output)
    assert read_settings(printed) == read_settings(file, deadline_ms=1234)
    assert tomllib.loads(output).keys() == Settings.model_fields.keys() - {
        "api_keys_file",
        "models",
    }


def test_settings_that_no_file_can_hold_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("BNN_BUNDLE", os.fsdecode(b"\xff"))
    assert main(["--print-config"]) == 2
    assert capsys.readouterr() == (
        "",
        "error: BNN_BUNDLE: expected Unicode, which TOML can hold; found '\\udcff'\n",
    )


def test_wrong_settings_are_a_line_each(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("BNN_PORT", "x")
    monkeypatch.setenv("BNN_ENGINE", "y")
    assert main(["--print-config"]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert [line[:15] for line in errors.splitlines()] == ["error: BNN_PORT", "error: BNN_ENGI"]


def test_the_version(capsys: Any) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bnn-service ")


# ---- keys


def test_a_new_key_and_its_lines_go_different_ways(capsys: Any) -> None:
    """So that make-key NAME >> FILE keeps the key itself out of the file."""
    assert main(["make-key", "app", "--rate", "5", "--burst", "9"]) == 0
    lines, note = capsys.readouterr()
    key = note.split()[-1]
    assert note == f"key for app, shown only once: {key}\n"
    assert key not in lines
    entry = parse_keys(lines.encode(), Path("keys.toml"))["app"]
    assert (entry.rate, entry.burst) == (5, 9)


@pytest.mark.parametrize("words", [["a b"], ["a", "--rate", "0"], ["a", "--burst", "2"]])
def test_a_key_that_cannot_be_is_wrong_usage(words: list[str], capsys: Any) -> None:
    assert main(["make-key", *words]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("error: ")


def test_a_key_whose_lines_are_lost_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["make-key", "app"]) == 1
    assert "bnn_" not in capsys.readouterr().err


def test_a_jpeg_is_not_written_to_a_terminal(monkeypatch: Any, capsysbinary: Any) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["sample-image"]) == 2
    output, errors = capsysbinary.readouterr()
    assert output == b""
    assert b"sample-image > sample.jpg" in errors
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert main(["sample-image"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"\xff\xd8\xff")
