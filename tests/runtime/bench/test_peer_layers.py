"""The report on single layers beside OpenVINO, with a peer that only pretends to be it."""

import sys
from pathlib import Path

import pytest

from runtime.bench import peer_layers
from runtime.bench.counts import BinaryShape
from runtime.bench.peer_layers import format_peer_layers, measure_peer_layers
from runtime.bench.peer_process import PeerProcess

LAYERS = {BinaryShape(32, 4, 4): "popcount", BinaryShape(96, 7, 7): "popcount"}
INTERPRETERS = {"openvino": sys.executable}
PEER = '''"""Looks like openvino_layers_peer."""
def open_peer(options):
    names = list(options["layers"])
    facts = {"version": "openvino 0", "kernels": {n: "jit" for n in names}}
    calls = {n: lambda: {"whole": 2.0, "convolution": 1.0} for n in names}
    return {**facts, "reorders": {n: 2 for n in names}}, calls
'''


def silent(text: str) -> None:
    assert text


def test_each_layer_is_measured_beside_the_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "peer.py"
    module.write_text(PEER)
    monkeypatch.setattr(
        peer_layers, "PeerProcess", lambda python, _, *rest: PeerProcess(python, str(module), *rest)
    )
    result = measure_peer_layers(LAYERS, INTERPRETERS, runs=4, cpus=[], progress=silent)
    assert result["not_measured"] == {}
    assert [row["layer"] for row in result["rows"]] == ["4x4x32", "7x7x96"]
    for row in result["rows"]:
        assert row["openvino"]["counting"]["median_ms"] == pytest.approx(1000)
        assert row["openvino"]["complete"]["median_ms"] == pytest.approx(2000)
        ours = row["ours"]["counting"]
        assert row["ratio"] == pytest.approx(1000 / ours["median_ms"])
        assert ours["runs"] == 6
    printed = format_peer_layers(result)
    assert "openvino 0" in printed
    assert "jit, 2 reorders" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="needs /bin/true")
def test_peer_that_is_missing_is_named_with_a_remedy() -> None:
    result = measure_peer_layers(
        LAYERS, {"openvino": "/bin/true"}, runs=1, cpus=[], progress=silent
    )
    assert result["rows"] == []
    printed = format_peer_layers(result)
    assert "openvino BinaryConvolution not measured: openvino_layers_peer failed: " in printed
    assert "make bench-peers" in printed
