"""models.command_line.figures: JSON in a file, readable lines at a terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from models.command_line.figures import format_figures, format_line, print_figures, tell_figures

FIGURES = {
    "top1": 61.5, "images": 12345, "seen_at": None, "classes": ["cat", "dog"], "ok": True,
    "among": {"classes": 2, "loss": 0.12345},
}  # fmt: skip
LINES = [
    "top1       61.5",
    "images     12,345",
    "classes    cat, dog",
    "ok         yes",
    "among",
    "  classes  2",
    "  loss     0.1235",
]


def test_elsewhere_it_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_figures(FIGURES)
    assert json.loads(capsys.readouterr().out) == FIGURES
    print_figures(FIGURES, indent=1)
    assert json.loads(capsys.readouterr().out) == FIGURES


def test_lines_are_for_people() -> None:
    assert format_figures(FIGURES).splitlines() == LINES
    assert format_figures({"mean_ms": 12345.678}) == "mean ms  12,345.7"
    assert format_figures({}) == ""


def test_a_line_has_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    line = format_line({"epoch": 3, "loss": 0.25, "validation_top1": None, "test": {"top1": 50.0}})
    assert line == "epoch 3, loss 0.25, test:, top1 50"
    tell_figures(FIGURES)
    assert json.loads(capsys.readouterr().out) == FIGURES


def test_at_a_terminal_there_are_lines(repository: Path) -> None:
    outer, inner = pty.openpty()
    program = f"from models.command_line.figures import *; print_figures({FIGURES!r})"
    with os.fdopen(outer, "rb", buffering=0) as terminal:
        subprocess.run([sys.executable, "-c", program], cwd=repository, stdout=inner, check=True)
        os.close(inner)
        assert terminal.read(4096).decode().splitlines() == LINES
