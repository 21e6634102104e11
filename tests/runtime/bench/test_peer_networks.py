"""The report on networks beside peers: small networks, real children, peers that are missing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models.export.mobilenet_graph import build_mobilenet_graph
from models.networks.mobilenet import MobileNetV1, find_mobilenet_spec
from runtime.bench import peer_networks
from runtime.bench.peer_contestants import PEERS
from runtime.bench.peer_networks import (
    BINARY,
    LARQ_NETWORK,
    LARQ_VARIANT,
    _compare,
    format_peer_networks,
    make_larq_variant,
    measure_peer_networks,
)
from runtime.bundle import ONNX_GRAPH, Bundle
from runtime.engines.engine import load_engine
from tests.runtime.bundles import make_bundle

Export = Callable[..., Bundle]


def silent(text: str) -> None:
    assert text


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Writes a small network for any name of ours, a small MobileNet for theirs."""
    folder = tmp_path_factory.mktemp("exports")
    ours = make_bundle(folder / "ours", graphs=False, self_test=True, stem="grouped", image=32)
    graph = build_mobilenet_graph(MobileNetV1(find_mobilenet_spec("mobilenet_v1_0.25"), 5), 32, "m")
    (folder / "theirs").mkdir()
    onnx.save(graph, folder / "theirs" / ONNX_GRAPH)
    theirs = Bundle(folder / "theirs", ours.manifest)
    int8 = make_bundle(folder / "int8", graphs=False, stem="grouped", image=32, int8=True)

    def choose(name: str, float_layers: str = "float32") -> Bundle:
        if name.startswith("mobilenet"):
            return theirs
        return int8 if float_layers == "int8" else ours

    return choose


def measure(
    export: Export, folder: Path, interpreters: dict[str, str], **changes: Any
) -> dict[str, Any]:
    options = {"threads": 1, "batch": 1, "runs": 1, "cpus": [], "progress": silent} | changes
    return measure_peer_networks(export, folder, interpreters, **options)


@pytest.fixture(autouse=True)
def _few_small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_networks, "PAIRS", (("meliusnetc", "mobilenet_v1_0.5"),))
    monkeypatch.setattr(peer_networks, "SIZE", 32)


def test_peers_that_are_installed_take_turns_with_ours(export: Export, tmp_path: Path) -> None:
    missing = {
        "openvino": "/bin/true",
        **dict.fromkeys(("litert", "ncnn", "mnn", "larq"), "/bin/false"),
    }
    result = measure(export, tmp_path, {"onnxruntime": sys.executable, **missing})
    rows = [(row["network"], row["engine"].partition("/")[0]) for row in result["rows"]]
    assert rows == [
        ("meliusnetc", "native"),
        ("meliusnetc, 8-bit layers", "native"),
        (LARQ_NETWORK, "native"),
        (LARQ_VARIANT, "native"),
        ("mobilenet_v1_0.5", "onnxruntime"),
        ("mobilenet_v1_0.5", "onnxruntime"),
    ]
    assert list(result["not_measured"]) == [
        "mobilenet_v1_0.5 litert",
        "mobilenet_v1_0.5: openvino fp32",
        "mobilenet_v1_0.5: ncnn fp32",
        "mobilenet_v1_0.5: mnn fp32",
        "mobilenet_v1_0.5: openvino int8",
        "mobilenet_v1_0.5: ncnn int8",
        "mobilenet_v1_0.5: mnn int8",
        "larq-compute-engine",
    ]
    assert [r["network"] for r in result["ratios"]] == ["meliusnetc", "meliusnetc, 8-bit layers"]
    assert all(ratio["times_as_fast"].keys() == {"fp32", "int8"} for ratio in result["ratios"])
    printed = format_peer_networks(result)
    assert "larq-compute-engine not measured: larq_peer failed: its process ended" in printed
    assert "onnxruntime" in printed
    assert "fp32 " in printed.splitlines()[-1]
    assert "int8 " in printed.splitlines()[-1]


def test_without_any_peer_ours_are_measured(export: Export, tmp_path: Path) -> None:
    nobody = dict.fromkeys((*PEERS, "larq"), "/bin/false")
    result = measure(export, tmp_path, nobody, batch=2)
    assert {row["precision"] for row in result["rows"]} == {BINARY}
    assert result["ratios"] == []
    assert "mobilenet_v1_0.5 int8" in result["not_measured"]
    assert "one image at a time" in result["not_measured"]["larq-compute-engine"]


def test_larq_takes_part_with_each_of_its_settings(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "larq.py"
    module.write_text(
        '"""Looks like larq_peer."""\n'
        "def open_peer(options):\n"
        f"    calls = {{name: lambda: None for name in {peer_networks.LARQ_CALLS!r}}}\n"
        "    return {'version': 'larq 0'}, calls\n"
    )
    start = peer_networks.PeerProcess
    monkeypatch.setattr(
        peer_networks,
        "PeerProcess",
        lambda python, name, *rest: start(
            python, str(module) if name == "larq_peer" else name, *rest
        ),
    )
    nobody = dict.fromkeys(PEERS, "/bin/false")
    result = measure(export, tmp_path, {**nobody, "larq": sys.executable})
    engines = [ratio["engine"] for ratio in result["ratios"]]
    assert engines == [f"larq, {call}" for call in peer_networks.LARQ_CALLS]
    assert {ratio["network"] for ratio in result["ratios"]} == {LARQ_VARIANT}


def test_variant_of_larq_is_another_network_of_the_same_shapes(export: Export) -> None:
    bundle = export(LARQ_NETWORK)
    variant = make_larq_variant(bundle)
    images = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    ours, larqs = (load_engine(b, "native").predict(images) for b in (bundle, variant))
    assert ours.shape == larqs.shape
    assert not np.array_equal(ours, larqs)
    stem, stage = (step.as_json() for step in variant.manifest.plan[:2])
    assert [conv["padding"] for conv in stem["convolutions"]] == [[0, 1], [1, 1], [1, 1]]
    assert stem["pool"] == {"kernel": 2, "stride": 2, "padding": [0, 0]}
    assert stage["padding"] == 0
    assert bundle.manifest.plan[1].as_json()["padding"] == -1


def test_ratios_are_the_peers_time_divided_by_ours() -> None:
    rows = [
        {"network": "meliusnetc", "engine": "native/x", "precision": BINARY, "median_ms": 2.0},
        {"network": "mobilenet_v1_0.5", "engine": "a", "precision": "fp32", "median_ms": 5.0},
        {"network": "mobilenet_v1_0.5", "engine": "a", "precision": "int8", "median_ms": 1.0},
    ]
    (ratio,) = _compare(rows)
    assert ratio == {
        **{"network": "meliusnetc", "engine": "a", "peer_network": "mobilenet_v1_0.5"},
        **{"times_as_fast": {"fp32": 2.5, "int8": 0.5}},
    }
