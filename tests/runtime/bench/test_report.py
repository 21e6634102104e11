"""The sections of a report: which run, what they print, what is left out with a reason."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.bench import report
from runtime.bench.exports import Exports
from runtime.bench.report import SECTIONS, Report
from runtime.bundle import Bundle
from runtime.plan import Plan
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bench") / "bundle", graphs=False)


def make_report(folder: Path, **changes: Any) -> Report:
    settings = {"threads": 1, "batch": 1, "runs": 1, "cpus": [], "engine": ["native"]}
    other = {"no_memory": True, "interpreters": {}, "folder": folder}
    return Report(Namespace(**(settings | other | changes)), Exports(folder))


def test_sections_run_in_their_order(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = make_report(tmp_path)
    ours.run([bundle], ["engines", "layers", "networks"])
    assert list(ours.figures) == ["layers", "networks", "engines", "limits"]
    printed = capsys.readouterr().out
    assert printed.count("\ninstruction limits of ") == 1
    starts = [printed.index(f"\n{text} random") for text in ("layer groups of", "engines on")]
    assert 0 < printed.index("binary layers of random") < starts[0] < starts[1]


def test_network_without_plan_is_left_out_of_what_needs_one(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = bundle.manifest.__class__(**{**vars(bundle.manifest), "plan": Plan()})
    ours = make_report(tmp_path)
    ours.run([Bundle(bundle.path, manifest)], ["layers", "networks"])
    printed = capsys.readouterr().out
    for section in ("layers", "networks"):
        assert f"{section} of random not measured: its bundle has no plan" in printed
    assert ours.figures == {"networks": []}


def test_layers_are_those_of_the_last_bundle_with_a_plan(bundle: Bundle, tmp_path: Path) -> None:
    """In whatever order a shell names the bundles of a folder."""
    without = Bundle(bundle.path, replace(bundle.manifest, name="baseline", plan=Plan()))
    ours = make_report(tmp_path)
    ours.run([bundle, without], ["layers"])
    assert ours.figures["layers"]["network"] == bundle.manifest.name


def test_kernels_come_with_their_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(meter: Any, runs: int, progress: Any) -> list[Any]:
        meter.sample()
        return []

    monkeypatch.setattr(report, "measure_kernels", measure)
    ours = make_report(tmp_path)
    ours.run([], ["kernels"])
    assert list(ours.figures) == ["kernels", "limits"]
    assert "instruction limits of " in capsys.readouterr().out


def test_peers_get_what_the_command_line_says(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = make_report(tmp_path, threads=2, batch=3, interpreters={"larq": "x"})
    monkeypatch.setattr(ours, "_exports", lambda name: bundle)
    asked: dict[str, Any] = {}

    def measure_layers(layers: Any, interpreters: Any, **options: Any) -> dict[str, Any]:
        asked["layers"] = len(layers)
        return {"rows": [], "not_measured": {}}

    def measure_networks(*arguments: Any, **options: Any) -> dict[str, Any]:
        asked.update(options, interpreters=arguments[2])
        return {"rows": [], "ratios": [], "not_measured": {}, "cpus": [], "threads": 2, "batch": 3}

    monkeypatch.setattr(report, "measure_peer_layers", measure_layers)
    monkeypatch.setattr(report, "measure_peer_networks", measure_networks)
    monkeypatch.setattr(report, "measure_modern_networks", measure_networks)
    ours.run([], ["peers"])
    assert asked["layers"] == 4
    assert (asked["threads"], asked["batch"], asked["interpreters"]) == (2, 3, {"larq": "x"})
    assert set(ours.figures) == {"peers"}
    assert set(ours.figures["peers"]) == {"layers", "networks", "modern"}


def test_end_to_end_takes_the_first_bundle_and_a_mobilenet(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def measure(*arguments: Any, **options: Any) -> dict[str, Any]:
        asked.extend(arguments)
        return {"rows": [], "not_measured": {}}

    monkeypatch.setattr(report, "measure_end_to_end", measure)
    ours = make_report(tmp_path, mobilenet=bundle.path)
    ours.run([bundle], ["end-to-end"])
    assert asked[:2] == [bundle, bundle]
    ours = make_report(tmp_path, mobilenet=None)
    monkeypatch.setattr(ours, "_exports", lambda name, size: (name, size))
    ours.run([bundle], ["end-to-end"])
    assert asked[4] == ("mobilenet_v1_0.25", 128)
    assert set(ours.figures) == {"end_to_end"}


def test_each_section_can_run() -> None:
    assert all(hasattr(Report, f"_run_{section.replace('-', '_')}") for section in SECTIONS)
