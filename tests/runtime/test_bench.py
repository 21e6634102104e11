"""The command line of the benchmark: what it prints and writes; times are never judged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime import bench, library
from runtime.bench import main
from runtime.bundle import Bundle
from runtime.errors import RuntimeFault
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


def run(bundle: Bundle, *options: str) -> int:
    return main(["--bundle", str(bundle.path), "--runs", "2", *options])


def test_report_has_everything(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, "--json", str(tmp_path / "figures.json")) == 0
    content = json.loads((tmp_path / "figures.json").read_text())
    assert set(content) == {"machine", "settings", "results"}
    assert content["settings"] == {"threads": 1, "batch": 1, "runs": 2}
    (result,) = content["results"]
    assert (result["network"], result["trained"]) == ("random", False)
    assert result["input"] == [3, 16, 16]
    assert result["not_measured"] == {}
    rows = {row["name"]: row for row in result["engines"]}
    assert list(rows) == ["torchscript", "native", "onnx", "eager"]
    for row in rows.values():
        assert all(row[number] > 0 for number in NUMBERS)
        assert row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        assert row["times_as_fast_as_eager"] > 0
        assert row["max_abs_logit_difference"] < 1e-4
        assert row["peak_memory_bytes"] > result["baseline_memory_bytes"] > 0
    assert rows["native"]["implementation"] == library.active()
    assert rows["eager"]["times_as_fast_as_eager"] == 1
    names = [step["name"] for step in bundle.manifest.plan]
    assert [part["name"] for part in result["parts"]] == names
    printed = capsys.readouterr().out
    for text in (
        content["machine"]["cpu"],
        "random, untrained (random weights): input 3x16x16, batch 1, threads 1",
        f"torchscript/{library.active()} is ",
        "x as fast as eager float PyTorch",
        "peak memory",
        *names,
    ):
        assert text in printed


def test_engines_can_be_chosen(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--engine", "native", "--batch", "2", "--threads", "2", "--no-memory"]
    assert run(bundle, *options, "--json", str(tmp_path / "f.json")) == 0
    (result,) = json.loads((tmp_path / "f.json").read_text())["results"]
    (row,) = result["engines"]
    assert row["name"] == "native"
    assert "times_as_fast_as_eager" not in row
    assert "peak_memory_bytes" not in row
    assert "eager_ms" not in result["parts"][0]
    assert "batch 2, threads 2" in capsys.readouterr().out


def test_network_of_the_onnx_graph_alone_is_measured_by_that_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    manifest["plan"] = []
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))
    assert run(bundle, "--no-memory") == 0
    printed = capsys.readouterr().out
    assert "onnx/cpu" in printed
    assert "native not measured: " in printed
    assert "eager not measured: only the ONNX graph" in printed


def test_selftest_names_each_implementation(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, "--selftest") == 0
    printed = capsys.readouterr().out
    for item in library.implementations():
        if item.supported:
            assert f"  {item.name:<10}5 parts, " in printed
    assert "identical to generic" in printed
    assert "DIFFERENT" not in printed


def test_selftest_fails_on_a_difference(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {"implementation": "neon", "part": "stage2", "values": 9, "different": 3, "worst": 4.0}
    monkeypatch.setattr(bench, "compare_implementations", lambda bundle: [item])
    assert run(bundle, "--selftest") == 1
    printed = capsys.readouterr().out
    assert "DIFFERENT from generic" in printed
    assert "stage2: 3 of 9 values differ, the worst by 4" in printed


def test_network_is_exported_by_a_child_process(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--network", "meliusnet13", "--size", "32", "--runs", "1", "--no-memory"]
    assert main([*options, "--engine", "torchscript"]) == 0
    assert "meliusnet13, untrained (random weights): input 3x32x32" in capsys.readouterr().out


def test_failed_export_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--network", "meliusnet1"]) == 2
    assert "expected python -m models.export to write meliusnet1" in capsys.readouterr().err


def test_default_is_the_default_model_and_meliusnet22(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, int]] = []

    def export(name: str, size: int, folder: Path) -> Bundle:
        asked.append((name, size))
        if len(asked) > 1:
            raise RuntimeFault("no exporter here")
        return bundle

    monkeypatch.setattr(bench, "DEFAULT_BUNDLE", bundle.path)
    monkeypatch.setattr(bench, "export_network", export)
    assert main(["--engine", "native", "--no-memory", "--runs", "1"]) == 0
    assert asked == [("meliusnet22", 224)]
    assert capsys.readouterr().out.count("random, untrained") == 2
    assert main(["--engine", "native", "--no-memory", "--runs", "1"]) == 0
    answer = capsys.readouterr()
    assert answer.out.count("random, untrained") == 1
    assert "meliusnet22 is left out: no exporter here" in answer.err


def test_wrong_bundle_ends_with_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bundle", str(tmp_path)]) == 2
    assert "expected a bundle's manifest, found none" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--runs", "0"], ["--engine", "abacus"], ["--threads", "-1"]])
def test_wrong_option_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(options)
    assert "error: " in capsys.readouterr().err


def test_module_can_be_run_alone(bundle: Bundle, repository: Path) -> None:
    command = [sys.executable, "-m", "runtime.bench", "--alone", "native", "--bundle"]
    answer = subprocess.run(
        [*command, str(bundle.path)], cwd=repository, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout)["peak_memory_bytes"] > 0
    assert answer.stderr == ""
