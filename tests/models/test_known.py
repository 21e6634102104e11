"""models.known: a network that knows "none of these", from its checkpoint to its figures."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from models.data.datasets import open_data_set
from models.data.preprocessing import evaluation_preprocessing
from models.errors import DataError
from models.evaluate import main as evaluate
from models.export.__main__ import main as export
from models.export.bundle import UNFITTED
from models.export.parity import parity_inputs
from models.known import fit_bundle, main
from models.reduce import main as reduce
from models.train import main as train
from models.training.checkpoint import build_trained, read_checkpoint
from models.upgrade import main as upgrade
from runtime import ENGINES, Engine, load_engine, read_bundle, run_self_test
from runtime.bundle import MANIFEST
from tests.models.checkpoints import export_trained
from tests.models.images import write_colours


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a training whose class `other` comes between its labels."""
    folder = tmp_path_factory.mktemp("known")
    write_colours(folder / "data" / "train", 40, "blue", "other", "red")
    write_colours(folder / "data" / "test", 4, "blue", "other", "red", seed=1)
    options = "--batch 8 --quiet --epochs 4 --image-size 16 --device cpu --learning-rate 0.01"
    where = ["--data", str(folder / "data"), "--out", str(folder / "run")]
    assert train(["meliusnet13", *where, *options.split()]) == 0
    checkpoint = str(folder / "run" / "checkpoint.pt")
    command = ["meliusnet13", "--checkpoint", checkpoint, "--out", str(folder / "bundle")]
    assert export(command) == 0
    return folder


class ByColour:
    """An engine for blue and red whose logits are how much of that there is; or both alike, the
    less the more there is of one.
    """

    name, implementation = "colour", "none"

    def __init__(self, engine: Engine, is_contrary: bool = False) -> None:
        self.bundle, self._is_contrary = engine.bundle, is_contrary

    def predict(self, images: np.ndarray) -> np.ndarray:
        logits: np.ndarray = 5 * images.mean(axis=(2, 3))[:, [2, 0]]
        return -logits.max(axis=1, keepdims=True).repeat(2, axis=1) if self._is_contrary else logits


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    write_colours(tmp_path / "held" / "val", 12, "blue", "red", "far", "near", seed=2)
    write_colours(tmp_path / "held" / "test", 10, "blue", "red", "far", "near", seed=3)
    return tmp_path / "held"


def test_the_class_other_becomes_the_last_logit_and_no_label(trained: Path) -> None:
    bundle = read_bundle(trained / "bundle")
    manifest = bundle.manifest
    assert (manifest.labels, manifest.logits) == (("blue", "red"), 3)
    assert manifest.known == UNFITTED
    assert manifest.training is not None
    assert manifest.training["classes"] == ["blue", "red", "other"]
    images = parity_inputs(manifest.input, 4)
    network = build_trained(read_checkpoint(trained / "run" / "checkpoint.pt")).eval()
    import torch

    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()[:, [0, 2, 1]]
    for name in ENGINES:
        engine = load_engine(bundle, name)
        difference = np.abs(engine.predict(images) - expected).max(axis=1)
        assert np.median(difference) < 1e-3  # but for a feature on the edge of a threshold
        assert run_self_test(engine).verdict in ("exact", "within bound")
        assert manifest.parity[name]["top1_agreement"] == 1


def test_key_and_figures_of_a_fit(
    trained: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [str(trained / "bundle"), "--data", str(held_out), "--out", str(out), "--quiet"]
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    before, after = read_bundle(trained / "bundle").manifest, read_bundle(out).manifest
    assert after.known is not None
    assert after.known.source == printed["source"] == "other"
    assert (after.known.slope, after.known.offset) == (printed["slope"], printed["offset"])
    assert after.temperature == printed["temperature"] != before.temperature
    measured, test = after.known.measured, printed["test"]
    assert measured is not None
    assert (measured.images_known, measured.images_far, measured.images_near) == (20, 10, 10)
    assert measured.auroc_far == test["auroc_far"]["other"]["value"] > 0.9
    assert measured.sha256 == printed["sha256"]
    assert printed["fitted_on"]["images_known"] == printed["validation"]["images_known"] == 24
    assert printed["fitted_on"]["sha256"] != printed["sha256"]
    assert after.files == before.files
    assert replace(after, known=before.known, temperature=before.temperature) == before


def test_without_a_validation_part_half_of_the_test_images_fit(
    trained: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(held_out / "val")
    arguments = ["--data", str(held_out), "--quiet", "--keep", "0.6", "--engine", "onnx", "--out"]
    assert main([str(trained / "bundle"), *arguments, str(tmp_path / "a")]) == 0
    assert main([str(trained / "bundle"), *arguments, str(tmp_path / "b")]) == 0
    one, two = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one["fitted_on"]["images_known"] + one["test"]["images_known"] == 20
    assert one == two
    assert (tmp_path / "a" / MANIFEST).read_bytes() == (tmp_path / "b" / MANIFEST).read_bytes()


def test_a_network_without_that_class_uses_energy_or_is_refused(
    held_out: Path, tmp_path: Path
) -> None:
    engine = load_engine(export_trained(tmp_path))
    data, out = open_data_set(held_out, needs_train=False), tmp_path / "out"
    bundle, figures = fit_bundle(cast(Engine, ByColour(engine)), data, out)
    manifest = bundle.manifest
    assert read_bundle(out).manifest == manifest
    assert manifest.known is not None
    assert (manifest.known.source, manifest.logits) == ("energy", 2)
    assert list(figures.test.auroc_far) == ["energy"]
    assert figures.test.auroc_far["energy"].value > 0.9
    assert figures.test.top1 == 100
    with pytest.raises(DataError, match="found the contrary"):
        fit_bundle(cast(Engine, ByColour(engine, is_contrary=True)), data, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("blue", "red"), "found 8 and 0"),
        (("far", "near"), "found 0 and 8"),
        (("blue", "far", "green"), "it lacks green"),
    ],
)
def test_what_cannot_be_fitted_is_said(
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    names: tuple[str, ...],
    says: str,
) -> None:
    known = [name for name in names if name != "green"]
    for part in ("val", "test"):
        write_colours(tmp_path / "data" / part, 4, *known)
        if "green" in names:
            shutil.copytree(tmp_path / "data" / part / "blue", tmp_path / "data" / part / "green")
    out = tmp_path / "out"
    arguments = ["--data", str(tmp_path / "data"), "--out", str(out), "--quiet"]
    assert main([str(trained / "bundle"), *arguments]) == 2
    assert says in capsys.readouterr().err
    for keep in ("0", "1", "nan"):
        assert main([str(trained / "bundle"), *arguments, "--keep", keep]) == 2
        assert "expected --keep between 0 and 1" in capsys.readouterr().err
    assert not out.exists()


def test_other_commands_measure_the_labels_alone(
    trained: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(trained / "bundle")
    answers = []
    assert main([bundle, "--data", str(held_out), "--out", str(tmp_path / "k"), "--quiet"]) == 0
    fitted = json.loads(capsys.readouterr().out)
    for data in (held_out, trained / "data"):
        assert evaluate([str(tmp_path / "k"), "--data", str(data), "--quiet"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert [answer["images"] for answer in answers] == [20, 8]
    assert answers[0]["top1"] == fitted["test"]["top1"]
    assert answers[0]["balanced_top1"] == fitted["test"]["balanced_top1"]
    calibrated = answers[0]["calibration_error_with_temperature"]
    assert calibrated == fitted["test"]["calibration_error"]
    assert "among" not in answers[0]
    out = str(tmp_path / "reduced")
    assert reduce([str(tmp_path / "k"), "--data", str(held_out), "--out", out, "--quiet"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["images"], record["top1"]) == (20, fitted["test"]["top1"])
    assert upgrade([out, "--out", str(tmp_path / "upgraded")]) == 0
    kept = read_bundle(tmp_path / "k").manifest.known
    assert read_bundle(tmp_path / "upgraded").manifest.known == kept
    assert "format 4 -> 4" in capsys.readouterr().out


def test_8_bit_parts_are_measured_on_labels_alone(trained: Path, tmp_path: Path) -> None:
    data = str(trained / "data")
    command = ["meliusnet13", "--checkpoint", str(trained / "run" / "checkpoint.pt")]
    command += ["--out", str(tmp_path / "int8"), "--float-layers", "int8"]
    options = f"--calibration {data} --calibration-images 10 --evaluation {data}"
    assert export([*command, *options.split()]) == 0
    manifest = read_bundle(tmp_path / "int8").manifest
    assert (manifest.labels, manifest.logits) == (("blue", "red"), 3)
    assert manifest.quantization is not None
    assert manifest.quantization["accuracy"]["images"] == 8
    assert manifest.preprocessing == evaluation_preprocessing(16)
