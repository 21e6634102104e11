"""models.upgrade: the newest format around the same weights and graphs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from models.export.parity import PARITY_INPUTS
from models.upgrade import main
from runtime import ENGINES, load_engine, read_bundle, run_self_test
from runtime.bundle import SELF_TEST, TORCHSCRIPT_GRAPH
from runtime.manifest import FLOAT_ORDER, FORMAT, MANIFEST
from tests.runtime.manifests import edit

FEW_BITS = 0.05  # changes a logit by less
FORMAT_1 = Path(__file__).parents[1] / "golden" / "format1"


def test_weights_and_graphs_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    assert main([str(FORMAT_1), "--out", str(out)]) == 0
    assert f"{out}: tiny, format 1 -> {FORMAT}" in capsys.readouterr().out
    old, new = read_bundle(FORMAT_1), read_bundle(out)
    for name in old.manifest.files.keys() - {TORCHSCRIPT_GRAPH}:
        assert (out / name).read_bytes() == (FORMAT_1 / name).read_bytes()
    with ZipFile(FORMAT_1 / TORCHSCRIPT_GRAPH) as given, ZipFile(out / TORCHSCRIPT_GRAPH) as kept:
        left_out = set(given.namelist()) - set(kept.namelist())
        assert {Path(name).suffix for name in left_out} == {".debug_pkl", ""}, "whence it comes"
        for name in kept.namelist():
            assert kept.read(name) == given.read(name)
    assert new.manifest.files.keys() == {*old.manifest.files, SELF_TEST}
    figures = {"format": FORMAT, "float_order": FLOAT_ORDER, "parity": new.manifest.parity}
    assert new.manifest == replace(old.manifest, files=new.manifest.files, **figures)
    assert new.manifest.parity.keys() == old.manifest.parity.keys() == {"native"}
    assert new.manifest.parity["native"]["against"] == "full-precision reference"
    assert new.manifest.parity["native"]["inputs"] == PARITY_INPUTS
    assert new.manifest.parity["native"]["max_abs_logit_difference"] < FEW_BITS
    for name in ENGINES:
        verdict = run_self_test(load_engine(new, name)).verdict
        assert verdict in (["exact", "within bound"] if name == "onnx" else ["exact"])


def test_bundle_may_replace_itself_and_stays_the_second_time(tmp_path: Path) -> None:
    path = Path(shutil.copytree(FORMAT_1, tmp_path / "bundle"))
    assert main([str(path), "--out", str(path), "--replace"]) == 0
    once = {file.name: file.read_bytes() for file in path.iterdir()}
    assert json.loads(once[MANIFEST])["format"] == FORMAT
    assert main([str(path), "--out", str(path), "--replace"]) == 0
    assert {file.name: file.read_bytes() for file in path.iterdir()} == once


def test_what_another_float_order_changes_is_measured_anew(tmp_path: Path) -> None:
    """An engine without figures gets none, and what no engine here measures stays."""
    path = tmp_path / "bundle"
    assert main([str(FORMAT_1), "--out", str(path)]) == 0
    measured = read_bundle(path).manifest.parity
    old = {"native": {"max_abs_logit_difference": 7.5, "inputs": 1}, "abacus": {"inputs": 2}}
    edit(read_bundle(path), lambda m: m.update(float_order=FLOAT_ORDER + 1, parity=old))
    assert main([str(path), "--out", str(path), "--replace"]) == 0
    manifest = read_bundle(path).manifest
    assert manifest.float_order == FLOAT_ORDER
    assert manifest.parity == {**old, **measured}


def test_mistakes_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "expected a bundle's manifest, found none" in capsys.readouterr().err
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    assert main([str(FORMAT_1), "--out", str(tmp_path / "photos")]) == 2
    assert "found other files there: cat.jpg" in capsys.readouterr().err
    damaged = Path(shutil.copytree(FORMAT_1, tmp_path / "damaged"))
    (damaged / "model.onnx").write_bytes(b"")
    assert main([str(damaged), "--out", str(tmp_path / "out")]) == 2
    assert "model.onnx: expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
