"""models.command_line.main: what a fault of each kind becomes."""

import argparse
from pathlib import Path

import pytest

from models.command_line.main import INTERRUPTED, describe_fault, make_parser, run_command
from models.errors import DataError
from runtime import RuntimeFault


def test_what_acts_well_returns_0(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    parser = make_parser("models.x", "What it does.\n\n  as written")
    parser.add_argument("word")
    assert run_command(parser, ["hello"], lambda args: seen.append(args.word)) == 0
    assert seen == ["hello"]
    assert capsys.readouterr().err == ""
    assert "usage: python -m models.x" in parser.format_help()
    assert "\n  as written" in parser.format_help()


@pytest.mark.parametrize(
    "fault", [DataError("no data"), RuntimeFault("no data"), OSError("no data")]
)
def test_a_fault_is_one_line(fault: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def act(_: argparse.Namespace) -> None:
        raise fault

    assert run_command(make_parser("models.x", None), [], act) == 2
    assert capsys.readouterr() == ("", "models.x: no data\n")


def test_mistakes_of_the_program_are_not_told_as_faults() -> None:
    def act(_: argparse.Namespace) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_command(make_parser("models.x", None), [], act)


def test_errors_of_the_system_say_what_was_expected(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    with pytest.raises(OSError, match="Errno") as caught:
        missing.read_bytes()
    assert describe_fault(caught.value) == (
        f"expected a file or folder {missing}; found none. Correct the path."
    )
    with pytest.raises(OSError, match="Errno") as caught:
        tmp_path.read_bytes()
    assert describe_fault(caught.value) == (
        f"expected {tmp_path} to be usable; found: is a directory. Correct that, or "
        "name another path."
    )


def test_an_interruption_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def act(args: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    assert run_command(make_parser("models.x", "What it does."), [], act) == INTERRUPTED
    assert capsys.readouterr().err == "models.x: interrupted\n"
