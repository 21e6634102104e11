"""The picture of a report: a chart for each section that has figures."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from runtime.bench.plot import write_plot
from runtime.errors import RuntimeFault

TIMES = {"median_ms": 2.0, "p10_ms": 1.0, "p90_ms": 3.0, "fastest_ms": 1.0, "runs": 3}
MACHINE = {
    "cpu": "CPU of a test", "system": "x", "cores": 2, "cores_allowed": 2,
    "implementation": "avx2", "python": "3", "packages": {},
}  # fmt: skip


def peer_row(network: str, engine: str, precision: str) -> dict[str, Any]:
    return {"network": network, "engine": engine, "precision": precision, **TIMES}


def all_figures() -> dict[str, Any]:
    layer = {"layer": "4x4x32", "macs": 10**6} | {
        who: {"counting": TIMES} for who in ("ours", "openvino")
    }
    networks = [
        peer_row("meliusnetc", "native/avx2", "binary"),
        peer_row("mobilenet_v1_0.5", "onnxruntime", "fp32"),
        peer_row("mobilenet_v1_0.5", "openvino", "int8"),
        peer_row("meliusnet22, larq's variant", "native/avx2", "binary"),
        peer_row("meliusnet22, larq's variant", "larq, default", "binary"),
    ]
    setting = {"batch": 1, "threads": 1}
    popcount = {"counting": {"share": 0.5, **TIMES}}
    sliced = {"counting": {"share": 1.5, "adder_share": 0.6, **TIMES}}
    shape = {"channels": 32, "height": 4, "width": 4, "macs": 8 * 10**9, "chosen": "sliced"}
    engine = {"name": "native", "implementation": "avx2", **TIMES}
    return {
        "machine": MACHINE,
        "limits": [{"name": "loop", "operation": "binary MAC", "median_g": 2.0}],
        "kernels": [
            {"kernel": "float convolution", "shape": "s", "share": 0.5, "rate_g": 9.0},
            {"kernel": "popcount convolution", "shape": "s", "share": 0.4, "rate_g": 9.0},
            {
                **{"kernel": "sliced convolution", "shape": "s", "rate_g": 9.0},
                **{"share": 1.5, "adder_share": 0.7},
            },
            {"kernel": "compare and pack floats", "shape": "s", "share": None, "rate_g": 9.0},
        ],
        "layers": {
            "network": "n",
            "layers": [shape | {"families": {"popcount": popcount, "sliced": sliced}}],
        },
        "networks": [
            {
                "network": "n",
                "batch": 1,
                "parts": [
                    {"name": "stem", "kind": "float", "chosen_ms": 1.0, "popcount_ms": 1.0},
                    {"name": "stage1", "kind": "binary", "chosen_ms": 1.0, "popcount_ms": 2.0},
                ],
            }
        ],
        "engines": [{"network": "n", "input": [3, 4, 4], "engines": [engine], **setting}],
        "peers": {"layers": {"rows": [layer]}, "networks": {"rows": networks, **setting}},
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """The texts of the picture."""
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
