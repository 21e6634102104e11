"""models.summary: the command line."""

import json

import pytest

from models.summary import main


def test_command_line_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["meliusnet22", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["parameters"] == 6_944_584
    assert printed["binary_convs"] == 34


def test_command_line_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["meliusnet22", "--stem", "imagenet7x7"]) == 0
    assert "6,948,392" in capsys.readouterr().out


def test_command_line_refuses_an_unknown_stem(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["meliusnet22", "--stem", "norm"])
    assert "unknown stem 'norm'" in capsys.readouterr().err


@pytest.mark.parametrize("classes", ["-3", "0"])
def test_command_line_refuses_no_classes(capsys: pytest.CaptureFixture[str], classes: str) -> None:
    with pytest.raises(SystemExit):
        main(["meliusnet13", "--num-classes", classes])
    assert f"expected --num-classes of at least 1; found {classes}" in capsys.readouterr().err
