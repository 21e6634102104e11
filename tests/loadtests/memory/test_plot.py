"""The bars of memory: layers add up to the peak; drawn with the native service and without."""

from pathlib import Path

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
    found = [make_measured(), make_measured("onnx", idle=make_memory(80))]
    for name in ("memory.svg", "memory.png"):
        draw_memory(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def test_chart_of_others_alone_has_no_parts(tmp_path: Path) -> None:
    draw_memory([make_measured("onnx")], tmp_path / "memory.svg")
    text = (tmp_path / "memory.svg").read_text()
    assert "peak RSS of all processes" in text
    assert "parts of the peak" not in text
