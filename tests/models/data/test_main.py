"""models.data: checks and packs; packs are written together or not at all."""

import json
from pathlib import Path

import pytest

from models.data.__main__ import main
from models.data.datasets import open_data_set
from tests.models.images import write_image, write_two_colours


def test_command_line_checks_and_packs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_two_colours(tmp_path / "set")
    (tmp_path / "set" / "words.txt").write_text("red\tcrimson, scarlet\nother\tnothing\n")
    assert main(["check", str(tmp_path / "set")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["split"], line["images"], line["min_images_of_a_class"]) for line in lines] == [
        ("train", 12, 6),
        ("test", 4, 2),
    ]
    options = ["--out", str(tmp_path / "packs"), "--shards", "2", "--side", "8"]
    assert main(["pack", str(tmp_path / "set"), *options]) == 0
    packed, folder = open_data_set(tmp_path / "packs"), open_data_set(tmp_path / "set")
    assert packed.train.names == folder.train.names
    assert packed.test is not None
    assert folder.test is not None
    assert packed.test.sha256() == folder.test.sha256(), "test images stay untouched"
    assert packed.train.sha256() != folder.train.sha256()
    assert packed.labels == folder.labels == ("blue", "crimson")


def test_command_line_explains_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert "expected train/ or train.npz" in capsys.readouterr().err
    write_two_colours(tmp_path)
    assert main(["pack", str(tmp_path), "--out", str(tmp_path / "p"), "--shards", "0"]) == 2
    assert "at least 1 shard" in capsys.readouterr().err
    for side in ("0", "-1", "5000"):
        assert main(["pack", str(tmp_path), "--out", str(tmp_path / "p"), "--side", side]) == 2
        assert f"expected --side from 1 to 4096 pixels; found {side}" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
    assert main(["check", str(tmp_path), "--set", "cifar10"]) == 2
    assert "expected 10 classes, found 2" in capsys.readouterr().err


def test_packs_are_not_mixed_with_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path / "set")
    command = ["pack", str(tmp_path / "set"), "--out", str(tmp_path / "packs"), "--shards"]
    assert main([*command, "3"]) == 0
    before = sorted((tmp_path / "packs").iterdir())
    assert main([*command, "2"]) == 2
    assert "expected a folder without train images; found some" in capsys.readouterr().err
    assert sorted((tmp_path / "packs").iterdir()) == before
    assert main(["pack", str(tmp_path / "set"), "--out", str(tmp_path / "set")]) == 2


def test_packs_are_written_together_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path / "set")
    write_image(tmp_path / "set" / "val" / "blue" / "1.png", 1)
    write_image(tmp_path / "set" / "val" / "red" / "2.png", 2)
    (tmp_path / "set" / "val" / "red" / "damaged.png").write_bytes(b"no image")
    packs = tmp_path / "packs"
    command = ["pack", str(tmp_path / "set"), "--out", str(packs), "--side", "8"]
    assert main(command) == 2
    out, error = capsys.readouterr()
    assert "damaged.png" in error
    assert not out
    assert not packs.exists()
    packs.mkdir()
    assert main(command) == 2
    assert not list(packs.iterdir())
    (tmp_path / "set" / "val" / "red" / "damaged.png").unlink()
    assert main(command) == 0
    assert f"{packs / 'train.npz'}: " in capsys.readouterr().out
    assert sorted(path.name for path in packs.iterdir()) == [
        "test.npz",
        "train.npz",
        "val.npz",
    ]
