"""models.attack: figures, checks and exit codes; what cannot work is refused before any work."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from models import attack
from models.attacks import library
from models.export.__main__ import main as export
from models.records.attack import OWN, read_attack
from tests.models.checkpoints import save_trained
from tests.models.small_networks import write_close_colours, write_small_bundle

MORE = ["--eps", "4,16", "--steps", "10", "--images", "55", "--quiet"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_close_colours(tmp_path / "data")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_small_bundle(tmp_path / "small")


@pytest.fixture
def art() -> None:
    if importlib.util.find_spec("art") is None:
        pytest.skip("the Adversarial Robustness Toolbox is not installed: make attacks")


def run(target: Path, data: Path, *more: str) -> int:
    return attack.main([str(target), "--data", str(data), *MORE, *more])


@pytest.mark.usefixtures("art")
def test_all_attacks_on_a_bundle(
    bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "record.json"
    assert run(bundle, data, "--queries", "40", "--json", str(out)) == 0
    record = read_attack(out)
    assert record.strong
    assert record.gradients == "bundle"
    assert record.art == "1.20.1"
    names = {result.attack for result in record.results}
    assert names == {"noise", OWN, "fgsm", "pgd", "apgd", "square", "white box"}
    assert [queries.eps for queries in record.queries_to_success] == [4, 16]
    assert json.loads(capsys.readouterr().out)["images"] == record.images


@pytest.mark.usefixtures("art")
def test_a_targeted_attack_counts_the_target_alone(
    bundle: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "record.json"
    more = ["--attacks", "noise,fgsm,pgd,apgd,square", "--queries", "40"]
    assert run(bundle, data, *more, "--targeted", "--json", str(out)) == 0
    assert read_attack(out).targeted


def test_without_art_noise_and_defences_still_work(
    bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "art", None)
    out = tmp_path / "record.json"
    more = ["--attacks", "noise", "--defence", "noise:5", "--draws", "2", "--json", str(out)]
    assert run(bundle, data, *more) == 0
    record = read_attack(out)
    assert record.art is None
    assert record.defence is not None
    assert [score.eps for score in record.defence.scores] == [4, 16]


def test_too_weak_an_attack_has_an_exit_code_of_its_own(
    bundle: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "record.json"
    threat = attack.Threat
    monkeypatch.setattr(attack, "Threat", lambda *limits: threat(*limits, step_size=0.0))
    more = ["--attacks", "noise", "--defence", "noise:5", "--draws", "1", "--json", str(out)]
    assert run(bundle, data, *more) == attack.WEAK == 3
    assert not read_attack(out).strong


def test_transfer_from_a_checkpoint(bundle: Path, data: Path, tmp_path: Path) -> None:
    surrogate, out = save_trained(tmp_path / "checkpoint.pt"), tmp_path / "record.json"
    more = ["--attacks", "transfer", "--surrogate", str(surrogate), "--steps", "2"]
    assert run(bundle, data, *more, "--json", str(out)) == 0
    record = read_attack(out)
    assert record.gradients is None
    assert (record.surrogate or "").startswith("meliusnet13 on colours")


def test_kinds_are_attacked_instead_of_classes(data: Path, tmp_path: Path) -> None:
    (tmp_path / "kinds.toml").write_text(
        'other = "other"\n[kinds]\nblue = [[0, 0], [2, 2]]\nred = [[1, 1]]\n'
    )
    bundle = write_small_bundle(tmp_path / "three", ("a", "b", "c"))
    out = tmp_path / "record.json"
    more = ["--attacks", "noise", "--kinds", str(tmp_path / "kinds.toml"), "--json", str(out)]
    assert run(bundle, data, *more) == 0
    record = read_attack(out)
    assert (record.grouped, record.classes) == (True, 2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--eps", "0"], "expected --eps as numbers above 0, at most 255 (levels of a pixel)"),
        (["--eps", "1,256"], "expected --eps as numbers above 0"),
        (["--eps", "1;2"], "expected --eps as numbers with commas"),
        (["--attacks", "cw"], "expected --attacks of noise, fgsm, pgd"),
        (["--attacks", "noise", "--images", "0"], "expected --images from 1 on; found 0"),
        (["--attacks", "noise", "--defence", "blur:3"], "expected --defence noise:SD"),
        (["--attacks", "transfer"], "found no --surrogate"),
        (["--attacks", "noise", "--json", "no/where.json"], "expected --json in a folder that is"),
        (["--attacks", "noise", "--image-size", "32"], "Leave it out"),
        (["--attacks", "noise", "--images", "49"], "expected at least 50 images"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    options: list[str],
    told: str,
    bundle: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(bundle, data, *options) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_without_art_the_remedy_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda name: None)
    assert run(tmp_path / "none", tmp_path / "none", "--attacks", "square") == 2
    assert "make attacks" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--attacks", "pgd"], ["--defence", "noise:5"]])
def test_a_bundle_without_gradients_is_refused_before_data_is_read(
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(attack, "check_library", lambda: "1.20.1")
    int8 = ["meliusnet13", "--num-classes", "2", "--image-size", "32", "--float-layers", "int8"]
    assert export([*int8, "--no-self-test", "--out", str(tmp_path / "int8")]) == 0
    capsys.readouterr()
    more = ["--attacks", "noise", *options]
    assert run(tmp_path / "int8", tmp_path / "no data", *more) == 2
    told = capsys.readouterr().err
    assert "expected float layers for an attack by gradients; found 8-bit ones" in told
    assert "Give the checkpoint.pt" in told


def test_data_of_other_classes_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_small_bundle(tmp_path / "others", ("green", "red"))
    assert run(bundle, data, "--attacks", "noise") == 2
    assert "expected data whose classes the bundle knows; it lacks blue" in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_trained(tmp_path / "checkpoint.pt")
    content = torch.load(path, weights_only=True)
    next(iter(content["state"]["model"].values())).fill_(float("nan"))
    torch.save(content, path)
    assert run(path, data, "--attacks", "noise") == 2
    assert "expected finite weights" in capsys.readouterr().err
