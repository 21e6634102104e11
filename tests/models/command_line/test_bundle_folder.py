"""models.command_line.bundle_folder: an existing bundle is replaced only where the user says so."""

import argparse
from pathlib import Path
from shutil import copytree

import pytest

from models.command_line.bundle_folder import (
    add_bundle_options,
    check_bundle_folder,
    tell_left_out,
)
from models.errors import BundleExists
from models.export.__main__ import main as export
from models.import_tflite import main as import_tflite
from models.quantize_onnx import main as quantize_onnx
from models.reduce import main as reduce
from models.upgrade import main as upgrade
from tests.runtime.manifests import make_hierarchy_manifest, make_manifest

REFUSED = "expected a new or empty folder; found a bundle in it."


@pytest.fixture
def bundle(repository: Path, tmp_path: Path) -> Path:
    """Somebody's bundle."""
    return Path(copytree(repository / "service" / "bundles" / "default", tmp_path / "bundle"))


def test_only_a_bundle_asks_for_a_word(bundle: Path, tmp_path: Path) -> None:
    check_bundle_folder(tmp_path / "new", replace=False)
    (tmp_path / "empty").mkdir()
    check_bundle_folder(tmp_path / "empty", replace=False)
    with pytest.raises(BundleExists, match=f"{bundle}: {REFUSED} Choose .* with --replace"):
        check_bundle_folder(bundle, replace=False)
    check_bundle_folder(bundle, replace=True)
    (bundle / "notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"other files there: notes\.txt"):
        check_bundle_folder(bundle, replace=True)


def test_options_of_a_new_bundle() -> None:
    parser = argparse.ArgumentParser()
    add_bundle_options(parser, "folder of the bundle")
    args = parser.parse_args(["--out", "a"])
    assert (args.out, args.replace) == (Path("a"), False)
    assert parser.parse_args(["--out", "a", "--replace"]).replace


def test_no_command_replaces_a_bundle_unasked(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file.name: file.read_bytes() for file in bundle.iterdir()}
    copytree(bundle, tmp_path / "imported" / "int8")
    out = ["--out", str(bundle)]
    for command, arguments in (
        (export, ["meliusnet13", *out]),
        (upgrade, [str(bundle), *out]),
        (reduce, [str(bundle), "--data", "none", *out]),
        (quantize_onnx, [str(bundle), "--noise", *out]),
        (import_tflite, ["none.tflite", "--out", str(tmp_path / "imported")]),
    ):
        assert command(arguments) == 2
        assert REFUSED in capsys.readouterr().err
    for folder in (bundle, tmp_path / "imported" / "int8"):
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_bundle_is_replaced_on_demand(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--num-classes", "4", "--image-size", "16", "--no-self-test", "--parity-inputs", "1"]
    arguments = ["meliusnet13", *options, "--out", str(bundle)]
    assert export([*arguments, "--replace"]) == 0
    assert f"{bundle}: meliusnet13 (untrained)" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}


def test_a_lost_hierarchy_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    tell_left_out(make_manifest())
    assert capsys.readouterr() == ("", "")
    tell_left_out(make_hierarchy_manifest())
    assert "test: the hierarchy is left out" in capsys.readouterr().err
