"""service.repository.folders: which folders of a directory are models."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    found = find_models(models)
    assert found.folders == {name: models / name for name in ("birds-1.2", "cats")}
    assert found.faults == {}


def test_a_link_that_leads_to_no_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "notes").symlink_to(Path(__file__))
    found = find_models(tmp_path)
    assert found.folders == {}
    assert found.faults.keys() == {"nowhere", "circle"}
    assert "found a link: No such file" in found.faults["nowhere"]


def test_one_link_that_cannot_be_followed_hides_no_other(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "birds")
    (tmp_path / "cats").symlink_to("birds")
    look = Path.stat

    def refuse(path: Path, **options: Any) -> os.stat_result:
        if path.name in refused and options.get("follow_symlinks", True):
            raise PermissionError(errno.EACCES, "Permission denied")
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    refused = ["cats"]
    found = find_models(tmp_path)
    assert (found.folders.keys(), found.faults.keys()) == ({"birds"}, {"cats"})
    refused.append("birds")  # a folder itself: then nothing can be said of the directory
    with pytest.raises(PermissionError):
        find_models(tmp_path)


def test_a_pipe_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "manifest.json")
    (tmp_path / "folder" / "manifest.json").mkdir(parents=True)
    assert find_models(tmp_path).faults.keys() == {"pipe", "folder"}


def test_bytes_of_a_name_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system takes no such names")
    (fault,) = find_models(tmp_path).faults
    assert fault == "caf\\xe9"


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
    assert name_default(Settings(bundle=models / "birds_image", models=models)) is None
    assert name_default(Settings(bundle=models / ".hidden", models=models)) is None


def test_the_directory_may_be_written_in_several_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "v1").mkdir(parents=True)
    (tmp_path / "models" / "current").symlink_to("v1")
    (tmp_path / "link").symlink_to("models")
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    ways = [Path("models"), tmp_path / "models", Path("link"), Path("models/../link")]
    for way in ways:
        for other in ways:
            assert name_default(Settings(bundle=way / "current", models=other)) == "current"
        assert name_default(Settings(bundle=way / "current", models=Path("circle"))) is None
