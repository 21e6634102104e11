"""Latencies of runs: one a network, by the engine that serves it, kept as JSON."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from models.records.record import Record
from models.report.latency import (
    key_of,
    key_of_bundle,
    measure_latencies,
    read_latencies,
    write_latencies,
)
from runtime import read_bundle
from tests.models.recorded_runs import make_record as make_content
from tests.models.recorded_runs import parse_record


def make_record(network: str = "meliusnet13", **changes: Any) -> Record:
    return parse_record(make_content(network, **changes))


def test_seed_and_shift_take_no_time() -> None:
    base = make_record()
    assert key_of(make_record(changes={"shift": 0.5})) == key_of(base)
    assert key_of(make_record(recipe={"seed": 9})) == key_of(base)
    for other in (make_record("meliusnet22"), make_record(changes={"stem": "grouped"})):
        assert key_of(other) != key_of(base)


def test_networks_are_measured_once_by_their_engine(tmp_path: Path) -> None:
    records = [make_record(), make_record(), make_record("mobilenet_v1_0.25_small")]
    latencies = measure_latencies(records, runs=3)
    assert set(latencies.networks) == {key_of(record) for record in records}
    assert latencies.networks[key_of(records[0])].engine.startswith("native/")
    assert latencies.networks[key_of(records[2])].engine.startswith("onnx/")
    assert all(row.median_ms > 0 for row in latencies.networks.values())
    write_latencies(latencies, tmp_path / "latencies.json")
    assert read_latencies(tmp_path / "latencies.json") == latencies


def test_bundles_are_measured_as_they_are_served() -> None:
    bundles = [read_bundle(Path("service/bundles") / name) for name in ("small", "mobilenet_v1")]
    latencies = measure_latencies([], runs=2, bundles=bundles)
    assert set(latencies.networks) == {key_of_bundle(bundle.manifest) for bundle in bundles}
    engines = [latencies.networks[key_of_bundle(bundle.manifest)].engine for bundle in bundles]
    assert [engine.partition("/")[0] for engine in engines] == ["native", "onnx"]


@pytest.mark.parametrize("content", ["", "[]", '{"format": 9}'])
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "latencies.json").write_text(content)
    with pytest.raises(DataError, match="expected latencies"):
        read_latencies(tmp_path / "latencies.json")
