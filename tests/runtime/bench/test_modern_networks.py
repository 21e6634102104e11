"""The report on networks of today: real children on small graphs, peers that are missing."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.bench import modern_networks
from runtime.bench.markdown import make_marks
from runtime.bench.mobile_graphs import SPECS
from runtime.bench.modern_networks import (
    OURS,
    PUBLISHED,
    format_modern_networks,
    measure_modern_networks,
)
from runtime.bench.peer_contestants import PEERS
from runtime.bench.peer_networks import PAIRS
from runtime.bundle import Bundle
from runtime.errors import RuntimeFault
from tests.runtime.bundles import make_bundle


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Ours, whatever the name; one small network of theirs."""
    monkeypatch.setattr(modern_networks, "SPECS", {"mobilenet_v3_small": None})
    monkeypatch.setattr(modern_networks, "SIZE", 32)
    return make_bundle(tmp_path / "ours", graphs=False, stem="grouped", image=32)


def measure(bundle: Bundle, folder: Path, python: str) -> dict[str, Any]:
    interpreters = dict.fromkeys(PEERS, "/bin/false") | {"onnxruntime": python}
    options: dict[str, Any] = {"threads": 1, "batch": 1, "runs": 1, "cpus": []}
    return measure_modern_networks(
        lambda name: bundle, folder, interpreters, progress=lambda text: None, **options
    )


def test_ours_and_peers_take_turns(bundle: Bundle, tmp_path: Path) -> None:
    result = measure(bundle, tmp_path, sys.executable)
    rows = [(row["network"], row["engine"].partition("/")[0]) for row in result["rows"]]
    theirs = [("mobilenet_v3_small", "onnxruntime")] * 2
    assert rows == [*((name, "native") for name in OURS), *theirs]
    assert {row["among"] for row in result["rows"]} == {"mobilenet_v3_small"}
    printed = format_modern_networks(result)
    assert "mobilenet_v3_small: ncnn fp32 not measured: ncnn_peer failed" in printed
    assert "random weights" in printed.splitlines()[0]


def test_package_that_writes_graphs_is_asked_for(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(name: str, size: int) -> Any:
        raise ImportError("no onnx")

    monkeypatch.setattr(modern_networks, "build_mobile_graph", build)
    with pytest.raises(RuntimeFault, match="expected the package onnx to write mobilenet_v3_small"):
        measure(bundle, tmp_path, sys.executable)


def test_every_network_has_a_published_accuracy_with_its_source() -> None:
    assert set(PUBLISHED) == {*OURS, *SPECS, *(theirs for _, theirs in PAIRS)}
    assert all(50 < top1 < 80 and source for top1, source in PUBLISHED.values())


@pytest.mark.parametrize("block", ["bench", "bench avx2"])
def test_tables_of_the_page_have_the_published_accuracy(repository: Path, block: str) -> None:
    begin, end = make_marks(block)
    page = (repository / "runtime" / "bench" / "README.md").read_text()
    table = page.partition(begin)[2].partition(end)[0]
    rows = re.findall(r"^\| (\w[\w.]*) \| (\d\d\.\d) \| \d", table, re.MULTILINE)
    assert {name: float(top1) for name, top1 in rows} == {
        name: PUBLISHED[name][0] for name in (*SPECS, *OURS)
    }
