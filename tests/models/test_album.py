"""models.album: from a folder of photos to its files, by the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.album import main
from tests.models.albums.albums import write_photo
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("album") / "bundle", graphs=False).path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two sessions and a photo without a time, and one that cannot be read."""
    for i in range(5):
        write_photo(
            tmp_path / "photos" / f"{i}.jpg", f"2024:05:01 12:{10 * (i // 3):02}:0{i}", seed=i
        )
    write_photo(tmp_path / "photos" / "=1+1.jpg", seed=9)
    (tmp_path / "photos" / "cut.jpg").write_bytes(b"no image")
    return tmp_path / "photos"


def run(bundle: Path, photos: Path, tmp_path: Path, *options: str) -> int:
    places = ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    return main([str(bundle), str(photos), *places, "--quiet", *options])


def test_files_are_written_and_photos_stay(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    assert run(bundle, photos, tmp_path, "--sort-into", str(tmp_path / "sorted")) == 0
    told = capsys.readouterr()
    assert "6 photos in 3 sessions, 6 scored anew;" in told.out
    assert "1 unreadable" in told.out
    assert "unreadable: cut.jpg: " in told.err
    assert "note: 1 photo has no EXIF time" in told.err
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "album.csv",
        "album.json",
        "album.html",
    }
    content = json.loads((tmp_path / "out" / "album.json").read_text())
    for photo in content["photos"]:
        copy = tmp_path / "sorted" / photo["after"] / photo["photo"]
        assert copy.read_bytes() == before[photo["photo"]]
    assert run(bundle, photos, tmp_path) == 0
    assert " 0 scored anew;" in capsys.readouterr().out


def test_weights_are_learned_and_written(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(6):
        folder = tmp_path / "known" / ("label 0" if i < 3 else "label 1")
        write_photo(folder / f"{i}.jpg", f"2024:05:0{1 + i // 3} 12:00:0{i}", seed=20 + i)
    assert run(bundle, photos, tmp_path, "--learn", str(tmp_path / "known")) == 0
    assert "learned from 6 photos" in capsys.readouterr().err
    rules = tmp_path / "out" / "album.rules"
    assert re.search(r"^-?\d\S* +kind\(session\(a\)\) = kind\(a\)", rules.read_text(), re.MULTILINE)
    assert run(bundle, photos, tmp_path, "--rules", str(rules)) == 0


@pytest.mark.parametrize(
    ("rules", "options", "told"),
    [
        ("1 kind(a) = label", [], "my.rules:1:13: expected a kind that the bundle knows"),
        ("inf kind(a) = kind(b)", [], "my.rules:1:1: expected a weight from -1000 to 1000"),
        ('hard kind(a) = "label 0"\nhard kind(a) = "label 1"', [], "line 1: hard kind(a)"),
        ("1 kind(a) = kind(session(a))", ["--gap", "nan"], "expected seconds from 0 for --gap"),
        ("1 kind(a) = kind(session(a))", ["--burst", "-1"], "expected seconds from 0 for --burst"),
        ("1 kind(a) = kind(session(a))", ["--sort-into", "."], "expected a folder outside of"),
    ],
)
def test_faults_are_told_in_a_line_and_nothing_is_written(
    rules: str,
    options: list[str],
    told: str,
    bundle: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(photos)
    (tmp_path / "my.rules").write_text(rules)
    options = ["--rules", str(tmp_path / "my.rules"), *options]
    assert run(bundle, photos, tmp_path, *options) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_it_needs_no_tensor_library(repository: Path) -> None:
    heavy = ("torch", "onnxruntime", "onnx", "pydantic", "fastapi", "httpx")
    program = f"import sys, models.album; print([n for n in {heavy!r} if n in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--sort-into sorted" in capsys.readouterr().out


def test_folders_that_cannot_be_made_are_told_before_the_work(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for option in ("--out", "--sort-into"):
        assert run(bundle, photos, tmp_path, option, str(tmp_path / "file")) == 2
        told = capsys.readouterr().err
        assert "file: expected a folder to write into; found" in told
        assert "file, no folder. Name another" in told
        assert "unreadable" not in told  # no photo was read


def test_names_do_not_command_the_terminal(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "a\x1b[2J\nb\u202e.jpg").write_bytes(b"")
    assert run(bundle, photos, tmp_path) == 0
    assert r"unreadable: a\x1b[2J\nb\u202e.jpg: " in capsys.readouterr().err


def test_what_was_not_copied_is_counted(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, photos, tmp_path, "--sort-into", str(tmp_path / "sorted")) == 0
    assert "not copied" not in capsys.readouterr().out
    next((tmp_path / "sorted").rglob("0.jpg")).write_bytes(b"another")
    assert run(bundle, photos, tmp_path, "--sort-into", str(tmp_path / "sorted")) == 0
    assert ", 1 not copied" in capsys.readouterr().out
