"""The bars of memory: their layers add up to the peak; told where nothing can be drawn."""

import sys
from pathlib import Path

import pytest

from loadtests.memory.plot import LAYERS, draw_memory, list_layers
from tests.loadtests.memory.test_report import MIB, make_measured, make_memory


def test_layers_add_up_to_the_peak() -> None:
    for found in (
        make_measured(),
        make_measured("mlserver", breakdown=None),
        make_measured("shrunk", no_model=75 * MIB, breakdown=None),
    ):
        layers = list_layers(found)
        assert len(layers) == len(LAYERS)
        assert sum(layers) == found.peak
        assert min(layers) >= 0


def test_chart_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    found = [make_measured(), make_measured("onnx", idle=make_memory(80))]
    for name in ("memory.svg", "memory.png"):
        assert name in draw_memory(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def test_without_matplotlib_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    found = draw_memory([make_measured()], tmp_path / "memory.svg")
    assert "matplotlib is not installed" in found
    assert not list(tmp_path.iterdir())
