"""Finding what the build installed, in every way the package can be installed."""

import importlib.metadata
import importlib.resources
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import NativeUnavailable
from runtime.kernels import installed

NAME = f"libbnn{installed.SUFFIX}"


def test_the_library_is_found_from_the_repository_root(repository):
    """The source tree shadows the installed package there."""
    command = f"from runtime.kernels import installed; print(installed.find_file('{NAME}'))"
    for folder in (repository, repository / "tests"):
        result = subprocess.run(
            [sys.executable, "-c", command],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert Path(result.stdout.strip()).is_file()


class FakeFile:
    """One line of a distribution's record."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name

    def locate(self) -> Path:
        return self.path


class FakeDistribution:
    def __init__(self, *files: Path) -> None:
        self.files = [FakeFile(path) for path in files]


@pytest.fixture
def installed_files(monkeypatch, tmp_path):
    """Makes the lookup see these recorded files, and an empty package folder."""

    def install(*files: Path) -> None:
        distribution = FakeDistribution(*files)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name: distribution)
        monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)

    return install


def test_a_missing_library_names_every_place(installed_files, tmp_path):
    installed_files(tmp_path / "gone" / NAME)
    with pytest.raises(NativeUnavailable) as caught:
        installed.find_file(NAME)
    message = str(caught.value)
    assert f"{tmp_path / 'gone' / NAME} (recorded at installation, not there)" in message
    assert f"{tmp_path / NAME} (not there)" in message
    assert "make setup" in message


def test_a_library_that_was_never_built(installed_files, tmp_path):
    installed_files(tmp_path / "other.py")
    with pytest.raises(NativeUnavailable, match=r"the files of bnn-service \(none of that name\)"):
        installed.find_file(NAME)


def test_a_package_that_is_not_installed(monkeypatch, tmp_path):
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(NativeUnavailable, match=r"bnn-service \(not installed\)"):
        installed.find_file(NAME)


def test_the_package_folder_is_the_second_place(installed_files, tmp_path):
    installed_files()
    (tmp_path / NAME).write_bytes(b"")
    assert installed.find_file(NAME) == (tmp_path / NAME).resolve()


@pytest.mark.parametrize(
    ("program", "absent"),
    [
        ("import no_such_package", True),
        ("import no_such_package.module", True),
        ("import json.no_such_module", False),
        ("from json import no_such_name", False),
        ("raise OSError('libtorch_cpu.so: cannot open shared object file')", False),
    ],
)
def test_a_package_that_is_broken_is_not_absent(program, absent):
    with pytest.raises((ImportError, OSError)) as caught:
        exec(program)
    package = "no_such_package" if "such_package" in program else "json"
    assert installed.is_absent(caught.value, package) is absent


@pytest.mark.parametrize(
    ("is_source_tree", "torch", "onnx"),
    [
        (True, "make WITH_TORCH=yes setup", "pip install '.[onnx]'"),
        (False, "pip install 'bnn-service[torch]'", "pip install 'bnn-service[onnx]'"),
    ],
)
def test_advice_fits_the_installation(monkeypatch, is_source_tree, torch, onnx):
    monkeypatch.setattr(installed, "IS_SOURCE_TREE", is_source_tree)
    assert installed.advise_extra("torch") == torch
    assert installed.advise_extra("onnx") == onnx


def test_the_checkout_is_a_source_tree(repository):
    assert (repository / "runtime" / "csrc").is_dir()
    assert installed.IS_SOURCE_TREE
    assert "make setup" in installed.REBUILD


def test_an_installed_package_is_told_to_be_installed_again(tmp_path):
    """A copy of the module without the kernels' source beside it, as a wheel has it."""
    copied = shutil.copy(installed.__file__, tmp_path)
    spec = importlib.util.spec_from_file_location("copied", copied)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not module.IS_SOURCE_TREE
    assert module.REBUILD == "Install it again: pip install --force-reinstall --no-deps bnn-service"
    assert module.advise_extra("torch") == "pip install 'bnn-service[torch]'"
