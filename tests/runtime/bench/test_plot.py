"""The image of a report: a chart for each section that has figures."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from runtime.bench.peer_contestants import PEERS
from runtime.bench.plot import write_plot
from runtime.errors import RuntimeFault
from tests.runtime.bench.figures import MACHINE, all_figures, peer_row


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """The texts of the image."""
    write_plot(figures, folder / "plot.svg")
    root = ElementTree.parse(folder / "plot.svg").getroot()
    return [item.text or "" for item in root.iter("{http://www.w3.org/2000/svg}text")]


def test_each_section_has_its_chart(tmp_path: Path) -> None:
    texts = draw(all_figures(), tmp_path)
    for title in (
        "Networks of equal published accuracy",
        "MeliusNet22 in larq's variant",
        "Parts of n",
        "Binary layers of n",
        "Kernels beside the limit of their instructions",
        "Binary layers and OpenVINO's BinaryConvolution",
        "Engines on n",
    ):
        assert title in texts
    assert any(MACHINE["cpu"] in text for text in texts)
    assert "limit: loop" in texts
    assert {"40%, 9 G/s", "70%, 9 G/s"} <= set(texts)  # each kernel beside its own limit
    assert {"4000, 50%", "4000, 60%"} <= set(texts)
    assert "compare and pack floats, s" not in texts
    assert "openvino int8" in texts


@pytest.mark.parametrize("section", ["kernels", "layers", "networks", "engines"])
def test_sections_are_drawn_alone(section: str, tmp_path: Path) -> None:
    figures = all_figures()
    assert draw({"machine": MACHINE, section: figures[section]}, tmp_path)


def test_peers_that_are_missing_leave_no_chart(tmp_path: Path) -> None:
    figures = all_figures()
    figures["peers"] = {"layers": {"rows": []}, "networks": {"rows": []}}
    texts = draw(figures, tmp_path)
    assert not [text for text in texts if "OpenVINO" in text or "larq" in text]


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match="expected figures to draw, found none"):
        write_plot({"machine": MACHINE}, tmp_path / "plot.svg")


def test_every_peer_has_its_bar(tmp_path: Path) -> None:
    figures = all_figures()
    rows = [peer_row("mobilenet_v1_0.5", peer, "fp32") for peer in PEERS]
    figures["peers"]["networks"]["rows"] += rows
    assert {f"{peer} fp32" for peer in PEERS} <= set(draw(figures, tmp_path))
