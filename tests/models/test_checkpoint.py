"""models.checkpoint: whole files only, no code in them, other runs refused."""

from pathlib import Path

import pytest
import torch

from models.checkpoint import read_checkpoint, save_checkpoint, verify_same_run
from models.errors import CheckpointMismatch

CONTENT = {"network": "n", "classes": ["a"], "state": {"model": {"w": torch.ones(2)}}}


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, CONTENT)
    assert torch.equal(read_checkpoint(path)["state"]["model"]["w"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_failed_write_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, CONTENT)
    before = path.read_bytes()
    with pytest.raises((AttributeError, TypeError)):
        save_checkpoint(path, {"classes": (i for i in range(3))})  # cannot be written
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\3\4 cut"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointMismatch, match=r"expected a checkpoint of models\.train"):
        read_checkpoint(path)


def test_other_content_and_code_are_refused(tmp_path: Path) -> None:
    torch.save({"model": 1}, tmp_path / "other.pt")
    with pytest.raises(CheckpointMismatch, match="other data"):
        read_checkpoint(tmp_path / "other.pt")
    torch.save({**CONTENT, "classes": Path("/")}, tmp_path / "code.pt")
    with pytest.raises(CheckpointMismatch):
        read_checkpoint(tmp_path / "code.pt")


def test_differences_from_this_run_are_named() -> None:
    header = {"network": "n", "classes": ["a"], "device": "this one"}
    verify_same_run(CONTENT, header, Path("c.pt"))
    with pytest.raises(CheckpointMismatch, match=r"c\.pt: made with classes \['a'\]"):
        verify_same_run(CONTENT, {**header, "classes": ["b"]}, Path("c.pt"))
