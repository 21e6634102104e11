"""The table of two networks of about equal bytes: what it is made of, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from models.report.equal_bytes import HEAD, describe_pair, read_pair
from models.report.latency import Latencies, Latency, key_of_bundle
from models.report.runs import Run, read_runs
from runtime import read_bundle
from tests.models.recorded_runs import MACHINE, make_record, write_run

BUNDLES = Path("service/bundles")
RECORDS = Path("models/runs/held-out")
TOML = """
[[network]]
bundle = "service/bundles/small"
runs = ["melius-0", "melius-1"]
held_out = "ours"

[[network]]
bundle = "service/bundles/mobilenet_v1"
runs = ["mobile"]
held_out = "theirs"
"""


def write_record(path: Path, **changes: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    content = json.loads((RECORDS / "small-strict.json").read_text())
    path.write_text(json.dumps(content | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs, two records and the list of them."""
    for name, record in {
        "melius-0": make_record(start="meliusnet13 on other (pt 1234)"),
        "melius-1": make_record(start="meliusnet13 on pets (pt 5678)", seconds=60.0),
        "mobile": make_record("mobilenet_v1"),
    }.items():
        write_run(tmp_path / name, record, [[1, 0], [0, 1]])
    write_record(tmp_path / "held-out" / "ours.json")
    write_record(tmp_path / "held-out" / "theirs.json", bundle="theirs")
    (tmp_path / "pair.toml").write_text(TOML)
    return tmp_path


@pytest.fixture
def runs(folder: Path) -> list[Run]:
    return read_runs(folder)


def test_rows_sum_all_trainings_of_a_network(folder: Path, runs: list[Run]) -> None:
    key = key_of_bundle(read_bundle(BUNDLES / "small").manifest)
    row = Latency(engine="native/x", median_ms=1.5, p10_ms=1.0, p90_ms=2.0, fastest_ms=1.0, runs=9)
    latencies = Latencies(machine=MACHINE, threads=1, networks={key: row})
    table, text = describe_pair(read_pair(folder, runs), latencies)
    head, _, ours, theirs = (line.strip("| ").split(" | ") for line in table.splitlines())
    assert tuple(head) == HEAD
    first, second = (dict(zip(HEAD, row, strict=True)) for row in (ours, theirs))
    test = json.loads((RECORDS / "small-strict.json").read_text())["test"]
    assert first["photos seen"] == "180"  # two epochs of 90
    assert first["minutes"] == "3"
    assert first["initialised from"] == "meliusnet13 on other"
    assert first["top-1 %"] == f"{test['top1']:.1f}"
    assert first["ms"] == "1.50"
    packed = (BUNDLES / "small" / "packed.safetensors").stat().st_size
    assert first["model, bytes"] == f"{packed:,}"
    graph = (BUNDLES / "mobilenet_v1" / "model.onnx").stat().st_size
    assert second["model, bytes"] == f"{graph:,}"
    assert (second["photos seen"], second["initialised from"]) == ("90", "random weights")
    assert second["ms"] == "not measured"
    assert f"{test['images_known']:,} photos of {len(test['top1_by_label'])} kinds" in text


def test_what_was_trained_since_is_named(folder: Path, runs: list[Run]) -> None:
    latencies = Latencies(machine=MACHINE, threads=1, networks={})
    _, text = describe_pair(read_pair(folder, runs), latencies)
    assert "since" not in text
    ours = 'runs = ["melius-0"]\nsince = ["melius-1"]'
    (folder / "pair.toml").write_text(TOML.replace('runs = ["melius-0", "melius-1"]', ours))
    table, text = describe_pair(read_pair(folder, runs), latencies)
    assert "served has been trained on since ([melius-1](runs/melius-1/record.json))" in text
    assert "melius-1" not in table


def test_no_list_is_no_table(folder: Path, runs: list[Run]) -> None:
    (folder / "pair.toml").unlink()
    assert read_pair(folder, runs) == []
    assert describe_pair([], Latencies(machine=MACHINE, threads=1, networks={})) == []


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('[[network]]\nbundle = "service/bundles/mobile', '[x]\ny = "', "two tables"),
        ('"mobile"', '"absent"', "absent"),
        ('["mobile"]', "[]", "none"),
        ('"theirs"', '"absent"', "found no file"),
        ('held_out = "theirs"', "", "held_out"),
        ('held_out = "theirs"', 'held_out = "theirs"\nsince = ["absent"]', "absent"),
        ('held_out = "theirs"', 'held_out = "theirs"\nsince = "mobile"', "a list of runs"),
    ],
)
def test_what_it_refuses(folder: Path, runs: list[Run], old: str, new: str, text: str) -> None:
    (folder / "pair.toml").write_text(TOML.replace(old, new))
    with pytest.raises(DataError, match=text):
        read_pair(folder, runs)


def test_both_must_be_measured_on_the_same_images(folder: Path, runs: list[Run]) -> None:
    write_record(folder / "held-out" / "theirs.json", sha256="ab" * 32)
    with pytest.raises(DataError, match="same images"):
        read_pair(folder, runs)


def test_a_damaged_record_is_named(folder: Path, runs: list[Run]) -> None:
    shutil.copy(folder / "pair.toml", folder / "held-out" / "ours.json")
    with pytest.raises(DataError, match=r"ours.json: expected what models.known printed"):
        read_pair(folder, runs)
