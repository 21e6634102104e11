"""The plot of a soak: drawn where matplotlib is installed, told where it is not."""

import sys
from pathlib import Path

import pytest

from loadtests.servers.processes import Usage
from loadtests.soak.plot import draw_usage
from loadtests.soak.run import Point

POINTS: list[Point] = [(i, i / 10, Usage(2**20 * i, 2**20 * i, 5, 9)) for i in range(10)]


def test_plot_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for name in ("usage.svg", "usage.png"):
        assert name in draw_usage(POINTS, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def test_without_matplotlib_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "matplotlib is not installed" in draw_usage(POINTS, tmp_path / "usage.svg")
    assert not list(tmp_path.iterdir())
