"""models.data pack --validation-share: packs with the part that training would hold back."""

from pathlib import Path
from shutil import copytree, rmtree

import pytest

from models.data import hold_back, main, split_off
from models.datasets import open_data_set
from tests.models.pictures import write_picture, write_two_colours


@pytest.mark.parametrize("options", [[], ["--side", "8"], ["--side", "8", "--parts", "3"]])
def test_packs_hold_back_what_training_on_the_untouched_set_would(
    tmp_path: Path, options: list[str]
) -> None:
    write_two_colours(tmp_path / "set", train=40)
    copy = (tmp_path / "set" / "test" / "red" / "1.png").read_bytes()
    (tmp_path / "set" / "train" / "red" / "a copy of it.png").write_bytes(copy)
    folder = open_data_set(tmp_path / "set")
    assert folder.test is not None
    parts = hold_back(folder, 0.2).parts()  # as models.run does
    rest, held = parts["train"], parts["validation"]
    assert (len(rest), len(held)) == (32, 8)
    command = ["pack", str(tmp_path / "set"), "--out", str(tmp_path / "packs")]
    assert main([*command, "--validation-share", "0.2", *options]) == 0
    packed = open_data_set(tmp_path / "packs")
    assert packed.validation is not None
    assert packed.test is not None
    assert packed.train.names == rest.names
    assert packed.validation.names == held.names
    assert packed.test.sha256() == folder.test.sha256()
    same = packed.validation.sha256() == held.sha256()
    assert same == (packed.train.sha256() == rest.sha256()) == (not options)


def test_the_content_after_packing_would_choose_others(tmp_path: Path) -> None:
    """Which is why packs of another side need the option."""
    write_two_colours(tmp_path / "set", train=40)
    command = ["pack", str(tmp_path / "set"), "--out", str(tmp_path / "packs"), "--side", "8"]
    assert main(command) == 0
    held, after = (
        split_off(open_data_set(tmp_path / name).train, 0.2)[1].names for name in ("set", "packs")
    )
    assert held != after


def test_validation_share_is_refused_where_it_makes_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path / "set")
    command = ["pack", str(tmp_path / "set"), "--out", str(tmp_path / "p"), "--validation-share"]
    for share in ("0", "1", "-0.5", "2", "nan"):
        assert main([*command, share]) == 2
        message = f"expected --validation-share between 0 and 1; found {float(share)}"
        assert message in capsys.readouterr().err
    write_picture(tmp_path / "set" / "val" / "blue" / "1.png", 1)
    write_picture(tmp_path / "set" / "val" / "red" / "2.png", 2)
    assert main([*command, "0.2"]) == 2
    assert "set: expected a set without val for --validation-share" in capsys.readouterr().err
    rmtree(tmp_path / "set" / "val")
    (tmp_path / "set" / "test").rename(tmp_path / "test")
    assert main([*command, "0.2"]) == 2
    message = "set: expected a set with a test part for --validation-share; found none. Leave the"
    assert message in capsys.readouterr().err
    (tmp_path / "test").rename(tmp_path / "set" / "test")
    rmtree(tmp_path / "set" / "train" / "red")
    copytree(tmp_path / "set" / "test" / "red", tmp_path / "set" / "train" / "red")
    assert main([*command, "0.2"]) == 2
    assert "set: expected pictures of every class to train on" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
