"""The default model's recipe from lists of sources to a bundle, on a few generated photos."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models import teach
from models.data.preprocessing import whole_preprocessing
from models.export.__main__ import main as export
from models.gather import main as gather
from models.hedge import main as hedge
from models.hold_out import main as hold_out
from models.known import main as known
from models.teachers.answers import CLASSES, FILE
from models.teachers.imagenet import Asked
from models.train import main as train
from runtime import read_bundle
from tests.models.images import write_colours
from tests.models.repositories import commit_folder

RECIPES = Path(__file__).parents[1] / "models" / "recipes"
KINDS = 'other = "other"\n[kinds]\nblue = [[0, 0]]\nred = [[1, 1]]\n'
SMALL = ["--batch", "8", "--epochs", "1", "--warmup-epochs", "0", "--quiet", "--device", "cpu"]
RUN = Callable[[list[str]], int]
STEPS = ("default", "default-128", "default-further")


def by_colour(inputs: torch.Tensor) -> torch.Tensor:
    """Sure of class 0 for blue, of 1 for red, of 2 for green."""
    logits = torch.zeros(len(inputs), CLASSES)
    brightest = inputs.mean((2, 3)).argmax(1)
    logits[torch.arange(len(inputs)), torch.tensor([1, 2, 0])[brightest]] = 20
    return logits


def write_sources(path: Path, repository: Path, names: tuple[str, ...]) -> None:
    commit = commit_folder(repository)
    classes = "\n".join(f'{name} = ["{name}"]' for name in names)
    path.write_text(
        "min_side = 8\nmax_bytes = 100000\nside = 176\n"
        f'[[repository]]\nname = "nobody/{repository.name}"\ncommit = "{commit}"\n'
        f"[repository.classes]\n{classes}\n"
    )


def run(command: RUN, *arguments: str | Path) -> None:
    assert command([str(argument) for argument in arguments]) == 0


def test_from_sources_to_a_bundle_that_knows_none_of_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        teach, "load_teacher", lambda name: Asked(name, whole_preprocessing(8), by_colour)
    )
    clones = tmp_path / "clones" / "nobody"
    photos, elsewhere = ("blue", "other", "red", "unlabelled"), ("blue", "far", "near", "red")
    write_colours(clones / "photos", 16, *photos, side=64)
    write_colours(clones / "elsewhere", 8, *elsewhere, seed=1, side=64)
    write_sources(tmp_path / "photos.toml", clones / "photos", photos)
    write_sources(tmp_path / "elsewhere.toml", clones / "elsewhere", elsewhere)
    (tmp_path / "kinds.toml").write_text(KINDS)
    sets, where = tmp_path / "sets", ("--clones", tmp_path / "clones", "--quiet")

    run(gather, tmp_path / "photos.toml", *where, "--out", sets / "photos")
    listed = ("--list", tmp_path / "held-out.csv")
    run(hold_out, tmp_path / "elsewhere.toml", *where, *listed, "--apart-from", sets / "photos")
    run(gather, tmp_path / "elsewhere.toml", *where, *listed, "--out", sets / "held-out")
    run(
        *(teach.main, sets / "photos", "--teacher", "colours", "--kinds", tmp_path / "kinds.toml"),
        *("--side", "64", "--patterns", "6", "--max-images", "20", "red=16"),
        *("--apart-from", sets / "held-out"),
        *("--out", sets / "taught", "--quiet"),
    )
    taught = ("--data", sets / "taught", "--answers", sets / "taught" / FILE, *SMALL)
    first, second, last = tmp_path / "64", tmp_path / "80", tmp_path / "further"
    kinds = ("--kinds", tmp_path / "kinds.toml", "--stored-side", "90", "--resize")
    run(
        *(train, "--config", RECIPES / "default.toml", *taught, "--image-size", "64"),
        *(*kinds, "72", "--validation-share", "0.2", "--out", first),
    )
    run(
        *(train, "--config", RECIPES / "default-128.toml", *taught, "--image-size", "80"),
        *(*kinds, "90", "--validation-share", "0.2", "--start", first, "--out", second),
    )
    run(
        *(train, "--config", RECIPES / "default-further.toml", *taught, "--image-size", "80"),
        *(*kinds, "90", "--validation-share", "0.2", "--start", second, "--out", last),
    )
    checkpoint = ("--checkpoint", last / "checkpoint.pt", "--parity-inputs", "2")
    run(export, "meliusnet24", *checkpoint, "--out", tmp_path / "unfitted")
    fitted = tmp_path / "fitted"
    run(known, tmp_path / "unfitted", "--data", sets / "held-out", "--out", fitted, "--quiet")
    manifest = read_bundle(fitted).manifest
    assert manifest.labels == ("blue", "red")
    assert manifest.known is not None
    assert manifest.known.source == "other"
    assert manifest.known.measured is not None
    assert manifest.known.measured.images_far == 4
    assert manifest.preprocessing.crop == 80
    hierarchy = tmp_path / "hierarchy.toml"
    hierarchy.write_text('[colour]\nphrase = "a colour"\nbelow = ["blue", "red"]\n')
    data = ("--data", sets / "held-out", "--hierarchy", hierarchy, "--quiet")
    run(hedge, fitted, *data, "--out", tmp_path / "hedged")
    hedged = read_bundle(tmp_path / "hedged").manifest
    assert hedged.hierarchy is not None
    assert hedged.known == manifest.known


def test_all_steps_train_the_same_network_on_the_same_answers() -> None:
    first, second, last, imagenet = (
        tomllib.loads((RECIPES / f"{name}.toml").read_text()) for name in (*STEPS, "imagenet")
    )
    for key in ("network", "data-name"):
        assert first[key] == second[key] == last[key] == imagenet[key]
    assert first["freeze"] == second["freeze"] == imagenet["freeze"]
    for key in ("kinds", "distillation"):
        assert first[key] == second[key] == last[key]
    assert first["balance"] == second["balance"]
    for key in ("image-size", "resize", "stored-side"):
        assert first[key] < second[key] == last[key] == imagenet[key]
    assert "kinds" not in imagenet
    assert (last["other-share"], last["ema"], last["freeze"]) == (0.25, 0.99, 5)


def test_the_makefile_takes_these_steps_and_exports_the_last(repository: Path) -> None:
    recipe = (repository / "Makefile").read_text().partition("\ntrain-default:")[2]
    steps = recipe.partition("\n\n")[0]
    places = [steps.index(f"models/recipes/{n}.toml") for n in STEPS]
    assert places == sorted(places)
    assert steps.index("--checkpoint $(TRAINED)/further/checkpoint.pt") > places[-1]


def test_the_baseline_learns_as_the_default_does() -> None:
    steps = {
        name: tomllib.loads((RECIPES / f"{name}.toml").read_text())
        for name in ("imagenet", "baseline", "default-128", "baseline-128")
    }
    assert steps["baseline"]["distillation"] == steps["imagenet"]["distillation"] == 1
    free = {"network", "freeze", "optimizer", "learning-rate", "epochs", "mixed-precision"}
    ours, theirs = (
        {key: value for key, value in steps[name].items() if key not in free}
        for name in ("default-128", "baseline-128")
    )
    assert ours == theirs
