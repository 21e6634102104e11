"""models.flips: a table, or what is missing."""

from pathlib import Path

import pytest

from models.flips import main
from runtime import Bundle
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("flips")
    return make_bundle(folder / "bundle", graphs=False, self_test=True)


def test_command_prints_a_table(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(bundle.path), "--flips", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| bits of | flipped | noticed | idle |"
    assert any(line.startswith("| stage1, binary weights | 2 | 2 (100%) | 0 |") for line in lines)


def test_bundle_without_images_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False)
    assert main([str(bundle.path)]) == 2
    assert "expected a bundle with stored images and packed weights" in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 2
