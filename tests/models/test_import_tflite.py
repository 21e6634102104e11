"""models.import_tflite: two bundles, or none and what is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.import_tflite import main
from models.tflite.convert import import_tflite
from runtime import (
    load_engine,
    read_bundle,
    run_self_test,
)
from tests.models.tflite_files import LABELS, SIDE, cut, make_file


def write_network(rng: np.random.Generator, folder: Path) -> list[Path]:
    """A tiny network in two files, and its labels beside them."""
    (folder / "imagenet_labels.txt").write_text("\n".join(LABELS) + "\n")
    halves = cut(make_file(rng), after=3)
    names = ("tiny_quant_features.tflite", "head.tflite")
    return [half.write(folder / name) for half, name in zip(halves, names, strict=True)]


def test_two_files_become_two_bundles(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_network(rng, tmp_path)
    out = tmp_path / "out"
    assert main([*map(str, files), "--out", str(out)]) == 0
    assert "tiny_int8, 4 classes" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["float", "int8"]
    for precision in ("float", "int8"):
        manifest = read_bundle(out / precision).manifest
        assert manifest.name == f"tiny_{precision}"
        assert manifest.architecture["precision"] == precision
        assert manifest.labels == LABELS[1:]
        assert manifest.input == (3, SIDE, SIDE)
        assert manifest.trained
        assert manifest.training is not None
        assert list(manifest.training["imported_from"]) == [file.name for file in files]
        assert set(manifest.files) == {"model.onnx", "self_test.safetensors"}
        spec = manifest.preprocessing
        assert (spec.resize, spec.crop, spec.interpolation) == (10, SIDE, "bilinear")
        assert spec.mean == spec.std == (128, 128, 128)
        engine = load_engine(out / precision)
        assert engine.name == "onnx"
        assert run_self_test(engine).verdict == "exact"
    sizes = [read_bundle(out / p).manifest.architecture["parameters"] for p in ("float", "int8")]
    assert sizes[0] == sizes[1] == (27 + 1) * 8 + (9 + 1) * 8 + (8 + 1) * 6 + (6 + 1) * 4


def test_decoding_is_reduced_only_where_it_was_asked_for(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_network(rng, tmp_path)
    for reduce in (None, 2.0):
        for bundle in import_tflite(files, tmp_path / "out", reduce=reduce):
            assert bundle.manifest.preprocessing.reduce == reduce
            assert bundle.manifest.reduction is None  # nobody measured what it changes
    assert main([*map(str, files), "--reduce", "0.5", "--out", str(tmp_path / "no")]) == 2
    assert "reduce: expected a number from 1" in capsys.readouterr().err


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("prepare", "choose", "message"),
    [
        (lambda a, b: a.write_bytes(b"GIF89a"), None, "expected a .tflite file"),
        (lambda a, b: shorten(a), None, "found a damaged one"),
        (lambda a, b: a.unlink(), None, "expected a file or folder"),
        (lambda a, b: a.with_name("imagenet_labels.txt").unlink(), None, "--labels FILE"),
        (None, lambda a, b: [b, a], "give tiny_quant_features.tflite head.tflite."),
        (None, lambda a, b: [a, a], "import each network by itself"),
        (None, lambda a, b: [a], "give the other part after it"),
        (None, lambda a, b: [b], "give the first part before it"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(
    rng: np.random.Generator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    prepare: Callable[[Path, Path], object] | None,
    choose: Callable[[Path, Path], list[Path]] | None,
    message: str,
) -> None:
    files = write_network(rng, tmp_path)
    if prepare:
        prepare(*files)
    if choose:
        files = choose(*files)
    assert main([*map(str, files), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unsupported_operator_is_named(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_file(rng)
    file.operators[2].name = "ADD"
    path = file.write(tmp_path / "net.tflite")
    assert main([str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "found operator 2, ADD. Only uint8 chains of CONV_2D" in error
    assert not (tmp_path / "out").exists()


def test_other_files_are_not_overwritten(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_network(rng, tmp_path)
    photo = tmp_path / "out" / "int8" / "cat.jpg"
    photo.parent.mkdir(parents=True)
    photo.touch()
    assert main([*map(str, files), "--out", str(tmp_path / "out")]) == 2
    assert "found other files there: " in capsys.readouterr().err
    assert sorted((tmp_path / "out").rglob("*")) == [photo.parent, photo]
