"""Checkpoints of tiny networks, in the format that models.train writes and in the one of before."""

from pathlib import Path
from typing import Any

import torch

from models.export.__main__ import main as export
from models.networks.registry import build_network
from models.training.checkpoint import Checkpoint, read_checkpoint

PREPROCESSING = {
    "resize": 16, "crop": 16, "interpolation": "bilinear",
    "mean": [100.0, 110.0, 120.0], "std": [50.0, 50.0, 50.0], "reduce": None,
}  # fmt: skip
RECIPE = {"epochs": 4, "batch": 8, "seed": 1}


def make_flat_content(**changes: Any) -> dict[str, Any]:
    """Format 2, as it was saved before `data` had its keys: a training after 3 of 4 epochs."""
    content: dict[str, Any] = {
        "format": 2,
        **{"network": "meliusnet13", "changes": {}, "classes": ["blue", "red"]},
        **{"labels": ["blue", "red"], "preprocessing": PREPROCESSING, "stored_side": 16},
        **{"data": "colours", "data_sha256": {"train": "ab", "test": "cd"}},
        **{"train_images": 9, "validation_images": 0, "skipped": [], "teacher": None},
        **{"start": None, "device": "a CPU", "torch": "2", "threads": 1, "processes": 1},
        "execution": {"compile_network": False, "channels_last": False, "measure_every": 1},
        **{"commit": "0123", "version": "0.1.0", "started": "2026-01-01T00:00:00+00:00"},
        "state": {
            **{"model": {"w": torch.ones(2)}, "optimizer": {"state": {}, "param_groups": []}},
            **{"step": 3, "epoch": 3, "sums": [0.5, 0.25], "seconds": 1.5, "recipe": RECIPE},
            "history": [{"epoch": 1, "loss": 1.0, "train_top1": 50.0, "learning_rate": 0.001}],
        },
        **{"test": None, "calibration": None},
    }
    return content | changes


def save_trained(path: Path, epoch: int = 4, network: str = "meliusnet13") -> Path:
    """A file of format 2 with random weights for two classes, after `epoch` of 4 epochs."""
    state = make_flat_content()["state"]
    state |= {"model": build_network(network, 2).state_dict(), "epoch": epoch}
    torch.save(make_flat_content(network=network, state=state), path)
    return path


def export_trained(folder: Path) -> Path:
    """The bundle of such a network, finished."""
    checkpoint, out = save_trained(folder / "checkpoint.pt"), folder / "bundle"
    assert export(["meliusnet13", "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    return out


def read_content(path: Path, content: dict[str, Any]) -> Checkpoint:
    """The checkpoint that a file of this content is."""
    torch.save(content, path)
    return read_checkpoint(path)
