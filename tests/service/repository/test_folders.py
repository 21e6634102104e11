"""service.repository.folders: which folders of a directory are models."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.repository.folders import check_name, find_models, name_default
from service.settings.settings import Settings


def test_folders_and_links_to_folders(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    models = tmp_path / "models"
    make_bundle(models / "birds-1.2")
    make_bundle(tmp_path / "elsewhere" / "v7")
    (models / "cats").symlink_to(tmp_path / "elsewhere" / "v7")
    (models / "..data").symlink_to(tmp_path / "elsewhere")  # of a ConfigMap
    (models / ".hidden").mkdir()
    (models / "notes.txt").write_text("no folder")
    (models / "nowhere").symlink_to(tmp_path / "nothing")
    found = find_models(models)
    assert found.folders == {name: models / name for name in ("birds-1.2", "cats")}
    assert found.faults == {}


def test_folders_that_cannot_be_models(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("birds_image", "with space", "a" * 101):
        make_bundle(tmp_path / name)
    found = find_models(tmp_path)
    assert not found.folders
    assert found.faults.keys() == {"empty", "birds_image", "with space", "a" * 101}
    assert "manifest.json" in found.faults["empty"]
    for name, fault in found.faults.items():
        assert "expected" in fault
        assert "found" in fault
        assert name == "empty" or "Rename" in fault


def test_no_directory(tmp_path: Path) -> None:
    assert find_models(None).folders == {}
    with pytest.raises(FileNotFoundError):
        find_models(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["a", "7", "meliusnet22", "birds-1.2", "A_b", "x" * 100])
def test_names(name: str) -> None:
    assert check_name(name) is None


@pytest.mark.parametrize("name", ["", "-a", "_a", "ä", "a/b", "a b", "a\n", "x_image", "a?"])
def test_names_that_are_none(name: str) -> None:
    assert check_name(name)


def test_the_default_bundle_may_stand_in_the_directory(tmp_path: Path) -> None:
    models = tmp_path / "models"
    inside = Settings(bundle=models / "birds", models=models)
    assert name_default(inside) == "birds"
    (models / "v1").mkdir(parents=True)
    (models / "current").symlink_to("v1")
    assert name_default(Settings(bundle=models / "current", models=models)) == "current"
    assert name_default(Settings(bundle=tmp_path / "birds", models=models)) is None
    assert name_default(Settings(bundle=models / "birds")) is None
