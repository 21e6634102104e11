"""The report on engines: what it measures and prints; times are never judged."""

from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.bench import engines
from runtime.bench.contestants import CONTESTANTS, Contestant
from runtime.bench.engines import format_engines, measure_engines
from runtime.bundle import Bundle
from runtime.errors import RuntimeFault
from runtime.kernels import library
from runtime.plan import Plan
from tests.runtime.bundles import make_bundle

NUMBERS = ("median_ms", "p10_ms", "p90_ms", "fastest_ms")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bench") / "bundle")


@pytest.fixture(autouse=True)
def _restore_threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def silent(text: str) -> None:
    assert text


def measure(bundle: Bundle, *names: str, memory: bool = False, batch: int = 1) -> dict[str, Any]:
    options: dict[str, Any] = {"threads": 1, "runs": 2, "progress": silent}
    return measure_engines(bundle, names, memory=memory, batch=batch, **options)


def test_report_has_everything(bundle: Bundle) -> None:
    result = measure(bundle, *CONTESTANTS, memory=True)
    assert (result["network"], result["trained"]) == ("random", False)
    assert result["input"] == [3, 16, 16]
    assert result["not_measured"] == {}
    rows = {row["name"]: row for row in result["engines"]}
    assert list(rows) == ["native", "torchscript", "onnx", "eager"]
    for row in rows.values():
        assert all(row[number] > 0 for number in NUMBERS)
        assert row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["times_as_fast_as_eager"] > 0
        assert row["max_abs_logit_difference"] < 1e-4
        assert row["peak_memory_bytes"] > result["baseline_memory_bytes"] > 0
    assert rows["native"]["implementation"] == library.active()
    assert rows["eager"]["times_as_fast_as_eager"] == 1
    printed = format_engines(result)
    for text in (
        "engines on random, untrained (random weights): input 3x16x16, batch 1, threads 1",
        f"torchscript/{library.active()} is ",
        "x as fast as eager float PyTorch",
        "peak memory",
    ):
        assert text in printed


def test_without_eager_and_memory_there_is_nothing_to_compare(bundle: Bundle) -> None:
    result = measure(bundle, "native", batch=2)
    (row,) = result["engines"]
    assert row["name"] == "native"
    assert "times_as_fast_as_eager" not in row
    assert "peak_memory_bytes" not in row
    printed = format_engines(result)
    assert "batch 2" in printed
    assert "eager float" not in printed
    assert "peak memory" not in printed


def test_engine_that_fails_in_its_turn_is_an_error(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(images: Any) -> Any:
        raise RuntimeFault("no more")

    failing = Contestant("native", "none", predict, 0, 0)
    monkeypatch.setattr(engines, "load_contestants", lambda *_: ([failing], {}))
    with pytest.raises(RuntimeFault, match="native: no more"):
        measure(bundle, "native")


def test_network_of_the_onnx_graph_alone_is_measured_by_that_engine(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    manifest = bundle.manifest.__class__(**{**vars(bundle.manifest), "plan": Plan()})
    result = measure(Bundle(bundle.path, manifest), *CONTESTANTS)
    assert [row["name"] for row in result["engines"]] == ["onnx"]
    printed = format_engines(result)
    assert "onnx/cpu" in printed
    assert "native not measured: " in printed
    assert "eager not measured: only the ONNX graph" in printed
