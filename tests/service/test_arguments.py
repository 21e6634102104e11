"""service.arguments: what the command line understands, and its name in the help."""

import re
import sys
from pathlib import Path

import pytest

from service.arguments import build_parser


def test_without_a_command() -> None:
    options = build_parser().parse_args([])
    assert (options.command, options.config, options.print_config, options.version) == (
        None,
        None,
        False,
        False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "f"],
        ["--config", "f", "serve"],
        ["serve", "--config", "f"],
        ["--config", "f", "classify", "x"],
        ["classify", "--config", "f", "x"],
        ["watch", "--config", "f", "x"],
    ],
)
def test_the_settings_file_is_named_before_or_after_the_command(words: list[str]) -> None:
    assert build_parser().parse_args(words).config == Path("f")


@pytest.mark.parametrize("words", [["--print-config"], ["serve", "--print-config"]])
def test_printing_the_settings(words: list[str]) -> None:
    assert build_parser().parse_args(words).print_config is True


def test_a_key() -> None:
    options = build_parser().parse_args(["make-key", "app", "--rate", "2.5"])
    assert (options.name, options.rate, options.burst) == ("app", 2.5, None)


def test_what_classify_is_without_options() -> None:
    options = build_parser().parse_args(["classify", "a.jpg", "folder"])
    assert options.names == ["a.jpg", "folder"]
    assert (options.from_file, options.recursive, options.null, options.shard) == (
        [],
        False,
        False,
        None,
    )
    assert (options.format, options.json, options.workers, options.output) == (
        None,
        False,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--shard", "0/2"], "expected I/N"),
        (["--workers", "0"], "expected a whole number of at least 1"),
        (["--workers", "257"], "expected at most 256"),
        (["--format", "xml"], "invalid choice"),
        (["--json", "--format", "csv"], "not allowed with"),
        (["--overwrite", "--retry-errors"], "not allowed with"),
    ],
)
def test_what_classify_does_not_take(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(["classify", "a.jpg", *words])
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


def test_what_a_watch_is_without_options() -> None:
    options = build_parser().parse_args(["watch", "frames"])
    assert (options.source, options.every, options.top_k, options.min_score) == (
        "frames",
        1.0,
        None,
        0.0,
    )
    assert (options.only_changes, options.count, options.post, options.timeout) == (
        False,
        None,
        None,
        None,
    )
    assert not options.json
    assert not options.text


@pytest.mark.parametrize(
    "words",
    [
        ["--every", "-1"],
        ["--every", "nan"],
        ["--every", "inf"],
        ["--every", "x"],
        ["--min-score", "1.1"],
        ["--count", "0"],
        ["--count", "1.5"],
        ["--count", "\u0661"],
        ["--timeout", "0"],
    ],
)
def test_numbers_that_a_watch_does_not_take(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(["watch", "frames", *words])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert re.search(f"argument {words[0]}: expected a (whole )?number (from|of)", told)


def test_a_watch_prints_json_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["watch", "frames", "--json", "--text"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["nonsense"], ["make-key"], ["make-key", "a", "--rate", "x"], ["-x"]]
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(words)
    assert caught.value.code == 2
    assert "usage: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "name"),
    [("/usr/bin/bnn-service", "bnn-service"), ("/x/service/__main__.py", "python -m service")],
)
def test_the_help_calls_the_program_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, program: str, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    assert build_parser().format_usage().startswith(f"usage: {name} ")
