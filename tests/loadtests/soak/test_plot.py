"""The plot of a soak, as SVG and as PNG."""

from pathlib import Path

from loadtests.servers.processes import Usage
from loadtests.soak.plot import draw_usage
from loadtests.soak.run import Point

POINTS: list[Point] = [(i, i / 10, Usage(2**20 * i, 2**20 * i, 5, 9)) for i in range(10)]


def test_plot_is_written(tmp_path: Path) -> None:
    for name in ("usage.svg", "usage.png"):
        draw_usage(POINTS, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
