"""models.data.image_folder: a folder of photos becomes a served model by one command."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import httpx
import pytest

from models.data.image_folder import (
    HELD_BACK,
    TRAINED,
    choose_defaults,
    find_run_folder,
    open_photos,
)
from models.errors import DataError
from models.records.record import read_record
from models.train import main
from models.training.options import make_job, parse_arguments
from models.training.recipe import Recipe
from runtime import read_bundle
from tests.models.images import write_image, write_photos


@contextmanager
def served(bundle: Path, log: Path) -> Iterator[str]:
    """A real server of the bundle; its address."""
    environment = {**os.environ, "BNN_BUNDLE": str(bundle), "BNN_PORT": "0"}
    command = [sys.executable, "-m", "service"]
    with log.open("w") as out, subprocess.Popen(command, env=environment, stderr=out) as server:
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"http://[\d.]+:\d+", log.read_text())):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, "the service did not start"
                time.sleep(0.05)
            url = found.group()
            while httpx.get(f"{url}/readyz").status_code != 200:
                assert time.monotonic() < deadline, "the service did not become ready"
                time.sleep(0.05)
            yield url
        finally:
            server.terminate()


def test_two_dozen_photos_become_a_served_model(tmp_path: Path, repository: Path) -> None:
    """The commands of the documentation, as they are: train, serve, ask about unseen photos."""
    write_photos(tmp_path / "photos", each=8)
    write_photos(tmp_path / "unseen", each=5, seed=99)
    bundle = tmp_path / "bundle"
    command = f"-m models.train --folder {tmp_path / 'photos'} --out {bundle} --device cpu"
    answer = subprocess.run(
        [sys.executable, *command.split()],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    assert f"make serve BNN_BUNDLE={bundle}" in answer.stderr
    manifest = read_bundle(bundle).manifest
    assert manifest.labels == ("ball", "fence", "horizon")
    assert manifest.trained
    assert manifest.training is not None
    assert manifest.training["accuracy"]["split"] == "validation"
    assert manifest.training["accuracy"]["images"] == 6
    assert manifest.temperature == 1, "six photos are too few to fit one"
    assert "expected at least 50 validation images to fit a temperature, found 6" in answer.stderr
    record = read_record(tmp_path / "bundle-training" / "record.json")
    assert record.data.train_images == 18
    with served(bundle, tmp_path / "log") as url:
        right = 0
        for photo in sorted((tmp_path / "unseen").rglob("*.jpg")):
            found = httpx.post(f"{url}/classify", files={"image": photo.read_bytes()}).json()
            right += found["predictions"][0]["label"] == photo.parent.name
    assert right >= 10, f"{right} of 15 unseen photos; by chance 5"


def test_a_share_of_each_class_is_held_back(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", each=10, size=(8, 8))
    data = open_photos(tmp_path / "photos")
    assert data.name == "photos"
    assert data.validation is not None
    assert data.test is None
    assert set(data.train.counts().values()) == {8}
    assert set(data.validation.counts().values()) == {2}
    assert not set(data.train.names) & set(data.validation.names)
    again = open_photos(tmp_path / "photos")
    assert again.train.sha256() == data.train.sha256()


def test_the_share_that_is_held_back_may_be_given(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", each=8, size=(16, 12))
    held_back = open_photos(tmp_path / "photos", 0.5).validation
    assert held_back is not None
    assert set(held_back.counts().values()) == {4}


def test_what_cannot_be_learned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no such folder"):
        open_photos(tmp_path / "none")
    write_image(tmp_path / "photos" / "cat" / "1.jpg")
    with pytest.raises(DataError, match="at least 2; found 1"):
        open_photos(tmp_path / "photos")
    (tmp_path / "photos" / "dog").mkdir()
    with pytest.raises(DataError, match="dog: expected images"):
        open_photos(tmp_path / "photos")
    write_image(tmp_path / "photos" / "dog" / "1.jpg")
    with pytest.raises(DataError, match=r"the same one as cat/1\.jpg and dog/1\.jpg"):
        open_photos(tmp_path / "photos")
    write_image(tmp_path / "photos" / "dog" / "1.jpg", seed=1)
    with pytest.raises(DataError, match=r"cat: expected at least 2 photos .*found 1"):
        open_photos(tmp_path / "photos")
    write_image(tmp_path / "photos" / "cat" / "2.jpg")
    with pytest.raises(DataError, match=r"cat: expected at least 2 .*found 2 copies of one\."):
        open_photos(tmp_path / "photos")
    for seed, name in enumerate(("cat/1", "cat/2", "dog/1", "dog/2", "x\ny/1", "x\ny/2")):
        write_image(tmp_path / "photos" / f"{name}.jpg", seed=seed)
    with pytest.raises(DataError, match=r"that can be shown.*'x\\ny'"):
        open_photos(tmp_path / "photos")


def test_damaged_photos_are_named_or_left_out_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "photos", each=8, size=(16, 12))
    (tmp_path / "photos" / "ball" / "cut.jpg").write_bytes(b"\xff\xd8\xff no")
    for folder in ("ball", "fence"):
        (tmp_path / "photos" / folder / "notes.txt").write_bytes(b"x")
    options = ["--image-size", "32", "--epochs", "1", "--batch", "4", "--device", "cpu", "--quiet"]
    command = ["--folder", str(tmp_path / "photos"), "--out", str(tmp_path / "b"), *options]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "cut.jpg" in error
    assert "notes.txt" in error
    assert "--skip-damaged" in error
    assert not (tmp_path / "b").exists()
    assert main([*command, "--skip-damaged"]) == 0
    record = read_record(tmp_path / "b-training" / "record.json")
    assert record.recipe["validation_share"] == HELD_BACK
    skipped = {line.split(":")[0] for line in record.data.skipped}
    assert "ball/cut.jpg" in skipped
    assert skipped & {
        "ball/notes.txt",
        "fence/notes.txt",
    }  # a copy of what is held back is left out
    assert len(read_bundle(tmp_path / "b").manifest.labels) == 3


def test_the_splits_of_a_data_set_are_no_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class of trains is one: it has no classes inside, or others beside it."""
    data, trains = tmp_path / "data", tmp_path / "trains"
    for split in ("train", "val"):
        write_photos(data / split, each=2, seed=len(split), size=(16, 12))
    assert main(["--folder", str(data), "--out", str(tmp_path / "b")]) == 2
    error = capsys.readouterr().err
    assert "found the splits of a data set, train, val, with classes in them" in error
    assert f"Give --data {data} instead of --folder" in error
    assert not (tmp_path / "b").exists()
    write_image(trains / "train" / "night" / "1.jpg", seed=1)
    write_image(trains / "train" / "day" / "2.jpg", seed=2)
    for seed, name in ((3, "bus/1.jpg"), (4, "bus/2.jpg")):
        write_image(trains / name, seed=seed)
    assert open_photos(trains).labels == ("bus", "train")


def test_a_place_that_is_no_bundle_is_refused_before_training(tmp_path: Path) -> None:
    assert find_run_folder(tmp_path / "b") == tmp_path / "b-training"
    (tmp_path / "letters").mkdir()
    assert find_run_folder(tmp_path / "letters") == tmp_path / "letters-training"
    (tmp_path / "letters" / "a.txt").touch()
    with pytest.raises(DataError, match="found other files"):
        find_run_folder(tmp_path / "letters")
    with pytest.raises(DataError, match="found other files"):
        find_run_folder(tmp_path / "letters" / "a.txt")
    with pytest.raises(DataError, match=r"name of a new folder for the bundle, found \."):
        find_run_folder(Path("."))


def test_a_bundle_is_replaced_only_by_the_training_beside_it(
    repository: Path, tmp_path: Path
) -> None:
    bundle = Path(copytree(repository / "service" / "bundles" / "default", tmp_path / "b"))
    with pytest.raises(DataError, match="found a bundle in it, and no b-training beside it"):
        find_run_folder(bundle)
    (tmp_path / "b-training").mkdir()  # of a training that --resume goes on with
    assert find_run_folder(bundle) == tmp_path / "b-training"


@pytest.mark.parametrize(("photos", "epochs"), [(1, 60), (2000, 60), (4000, 30), (10**6, 20)])
def test_from_scratch_more_photos_need_fewer_epochs(photos: int, epochs: int) -> None:
    assert choose_defaults(photos, learned=False)["epochs"] == epochs


def test_weights_are_begun_with_where_they_fit(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", each=2, size=(8, 8))
    command = ["--folder", str(tmp_path / "photos"), "--out", str(tmp_path / "b")]
    job = make_job(parse_arguments(command))
    assert (job.start, job.recipe.epochs, job.image_size) == (TRAINED, 0, 128)
    assert TRAINED.is_file()
    for scratch in (["--start", "none"], ["--stem", "small"], ["meliusnet22"], ["mobilenet_v1"]):
        job = make_job(parse_arguments([*command, *scratch]))
        assert job.start is None, scratch
        assert job.recipe.epochs > 0, scratch
    assert make_job(parse_arguments([*command, "mobilenet_v1"])).changes == {}
    with pytest.raises(ValueError, match="found --no-binary"):
        make_job(parse_arguments([*command, "--no-binary"]))
    mine = ["--start", "mine.pt", "--stem", "small"]
    job = make_job(parse_arguments([*command, "meliusnet13", *mine]))
    assert (job.start, job.recipe.epochs) == (Path("mine.pt"), 0)
    with pytest.raises(ValueError, match=r"found none at mine\.pt"):  # whose network would be taken
        make_job(parse_arguments([*command, *mine]))


def test_given_options_go_before_the_defaults(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", each=2, size=(8, 8))
    command = ["--folder", str(tmp_path / "photos"), "--out", str(tmp_path / "b")]
    job = make_job(parse_arguments([*command, "--start", "none"]))
    assert (job.network, job.image_size, job.recipe.batch) == ("meliusnet13", 64, 16)
    assert job.recipe.min_area > Recipe().min_area
    job = make_job(parse_arguments([*command, "--epochs", "3", "--image-size", "96"]))
    assert (job.recipe.epochs, job.image_size) == (3, 96)
    for more, message in ((["--data", "x"], "found both"), (["--set", "cifar10"], "--data only")):
        with pytest.raises(ValueError, match=message):
            make_job(parse_arguments([*command, *more]))
