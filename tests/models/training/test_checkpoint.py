"""models.training.checkpoint: whole files only, no code in them, other runs refused."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import CheckpointMismatch
from models.training.checkpoint import (
    Checkpoint,
    build_trained,
    read_checkpoint,
    save_checkpoint,
    verify_same_run,
)
from tests.models.checkpoints import make_flat_content, read_content, save_trained


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return read_content(tmp_path / "before.pt", make_flat_content())


def test_what_was_saved_is_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    save_checkpoint(folder / "checkpoint.pt", checkpoint)
    again = read_checkpoint(folder / "checkpoint.pt")
    assert torch.equal(again.state.model["w"], torch.ones(2))
    assert again.state.progress == checkpoint.state.progress
    assert again.state.optimizer == checkpoint.state.optimizer
    assert replace(again, state=checkpoint.state) == checkpoint
    assert [p.name for p in folder.iterdir()] == ["checkpoint.pt"]


def test_checkpoints_of_before_are_read(checkpoint: Checkpoint) -> None:
    data = checkpoint.data
    assert (data.name, data.classes, data.labels) == ("colours", ("blue", "red"), ("blue", "red"))
    assert data.digests() == {"train": "ab", "test": "cd"}
    assert data.splits["train"].images is None, "it was not kept"
    assert checkpoint.preprocessing.mean == (100.0, 110.0, 120.0)
    assert checkpoint.recipe.batch == 8
    assert checkpoint.recipe.blur == 0.0, "what an older recipe lacks had its default"
    assert checkpoint.state.progress.history[0].validation_top1 is None
    assert checkpoint.adaptation is None
    assert not checkpoint.finished


def test_file_holds_tensors_numbers_and_texts_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", checkpoint)
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    assert content["format"] == 3
    del content["state"]["model"]
    json.dumps(content)


def test_a_failed_write_leaves_the_last_whole_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()
    generator: Any = (i for i in range(3))  # cannot be written
    state = replace(checkpoint.state, optimizer={"state": generator})
    with pytest.raises((AttributeError, TypeError)):
        save_checkpoint(path, replace(checkpoint, state=state))
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\3\4 cut", b'{"network": "n"}'])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointMismatch) as caught:
        read_checkpoint(path)
    assert str(caught.value) == (
        f"{path}: expected a checkpoint of models.train; found a file that is cut, or none that "
        "PyTorch wrote. Take another copy, or train anew with another --out."
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointMismatch, match=r"none\.pt: expected .* found no file there\. Correct"
    ):
        read_checkpoint(tmp_path / "none.pt")


def test_other_content_and_code_are_refused(tmp_path: Path) -> None:
    for content in ({"model": 1}, {"state": {}}, [1], {"state": {"model": {"w": 1}}}):
        torch.save(content, tmp_path / "other.pt")
        with pytest.raises(CheckpointMismatch, match=r"other\.pt: expected a checkpoint"):
            read_checkpoint(tmp_path / "other.pt")
    torch.save(make_flat_content(classes=Path("/")), tmp_path / "code.pt")
    with pytest.raises(CheckpointMismatch, match="found other things than tensors") as caught:
        read_checkpoint(tmp_path / "code.pt")
    assert "weights_only" not in str(caught.value), "torch's advice is to run what is in the file"
    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)


def test_cut_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    state = make_flat_content()["state"] | {"model": {"w": torch.zeros(100_000)}}
    torch.save(make_flat_content(state=state), path)
    whole = path.read_bytes()
    for length in (5_000, 100_000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointMismatch, match=r"checkpoint\.pt: expected .* train anew"):
            read_checkpoint(path)


@pytest.mark.parametrize("key", ["classes", "labels", "started", "network", "preprocessing"])
def test_what_lacks_is_named(tmp_path: Path, key: str) -> None:
    content = make_flat_content()
    del content[key]
    with pytest.raises(CheckpointMismatch, match=rf"c\.pt: expected .* lacks .*{key}\."):
        read_content(tmp_path / "c.pt", content)


@pytest.mark.parametrize("key", ["history", "recipe", "step", "optimizer", "model"])
def test_what_lacks_of_the_state_is_named(tmp_path: Path, key: str) -> None:
    content = make_flat_content()
    del content["state"][key]
    found = {"optimizer": "no state of the optimizer", "model": "none of the network's weights"}
    with pytest.raises(CheckpointMismatch, match=found.get(key, rf"lacks state\.{key}\.")):
        read_content(tmp_path / "c.pt", content)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"rotation": 5}, "this version does not know rotation"),
        ({"format": 4, "data": {}}, "format should be 3, found 4"),
        ({"threads": "two"}, "threads should be a valid integer, found two"),
        ({"preprocessing": {**make_flat_content()["preprocessing"], "crop": 0}}, "found 0"),
    ],
)
def test_what_is_unknown_or_of_another_type_is_named(
    tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    with pytest.raises(CheckpointMismatch, match=rf"expected .* {found}"):
        read_content(tmp_path / "c.pt", make_flat_content(**changes))


def test_weights_of_another_network_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="expected weights of meliusnet13; found others"):
        build_trained(checkpoint)
    network = build_trained(read_checkpoint(save_trained(tmp_path / "c.pt")))
    assert network.num_classes == 2


def test_differences_from_this_run_are_named(checkpoint: Checkpoint) -> None:
    verify_same_run(checkpoint, replace(checkpoint, device="another"), Path("c.pt"))
    renamed = replace(checkpoint.data, labels=("B", "R"))
    verify_same_run(checkpoint, replace(checkpoint, data=renamed), Path("c.pt"))
    others = replace(checkpoint.data, classes=("b", "r"))
    with pytest.raises(CheckpointMismatch, match=r"c\.pt: made with data classes \('blue', 'red'"):
        verify_same_run(checkpoint, replace(checkpoint, data=others), Path("c.pt"))
    with pytest.raises(CheckpointMismatch, match="made with stored_side 16, this run has 18"):
        verify_same_run(checkpoint, replace(checkpoint, stored_side=18), Path("c.pt"))
