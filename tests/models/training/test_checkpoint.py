"""models.training.checkpoint: whole files only, no code in them, other runs refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import CheckpointMismatch
from models.training.checkpoint import read_checkpoint, save_checkpoint, verify_same_run

CONTENT: dict[str, Any] = {
    **{"network": "n", "classes": ["a"], "preprocessing": {}, "started": "2026-01-01T00:00:00"},
    **{"test": None, "calibration": None},
    "state": {
        **{"model": {"w": torch.ones(2)}, "optimizer": {}, "recipe": {"epochs": 2}, "epoch": 1},
        **{"step": 3, "sums": [0.0, 0.0], "seconds": 1.0, "history": []},
    },
}


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


def test_cut_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {**CONTENT, "weights": torch.zeros(100_000)})
    whole = path.read_bytes()
    for length in (5_000, 100_000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointMismatch, match=r"checkpoint\.pt: expected .* train anew"):
            read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        read_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("key", ["classes", "model", "recipe"])
def test_what_every_reader_needs_is_there(tmp_path: Path, key: str) -> None:
    save_checkpoint(tmp_path / "c.pt", _without(key))
    with pytest.raises(CheckpointMismatch, match=rf"c\.pt: expected .* lacks {key}\."):
        read_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("key", ["started", "optimizer", "history"])
def test_what_a_run_goes_on_from_is_there(tmp_path: Path, key: str) -> None:
    save_checkpoint(tmp_path / "c.pt", _without(key))
    content = read_checkpoint(tmp_path / "c.pt")
    with pytest.raises(CheckpointMismatch, match=rf"c\.pt: expected .* lacks {key}\."):
        verify_same_run(content, {"network": "n"}, tmp_path / "c.pt")


def _without(key: str) -> dict[str, Any]:
    state = {name: value for name, value in CONTENT["state"].items() if name != key}
    return {name: value for name, value in (CONTENT | {"state": state}).items() if name != key}


def test_differences_from_this_run_are_named() -> None:
    header = {"network": "n", "classes": ["a"], "device": "this one"}
    verify_same_run(CONTENT, header, Path("c.pt"))
    with pytest.raises(CheckpointMismatch, match=r"c\.pt: made with classes \['a'\]"):
        verify_same_run(CONTENT, {**header, "classes": ["b"]}, Path("c.pt"))
