"""Checkpoints: written whole or not at all, read without unpickling code, refused for another run.

A checkpoint is what the run is, the trainer's state and, at the end, the figures of the test set.
In the file everything is a tensor, a number or a text.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from models.errors import CheckpointMismatch
from models.networks.registry import Network, build_network
from models.records.figures import EpochMetrics
from models.records.training_run import Header, TrainingRun
from models.records.typed_json import Finite, as_json, fields_of, parse_json
from models.training.recipe import Recipe
from runtime.whole_file import write_whole

FORMAT: Literal[3] = 3
FLAT = 2  # the format before, in which the keys of `data` lay beside the others
CHECKPOINT = "checkpoint.pt"  # in the folder of a run
EXPECTED = "a checkpoint of models.train"
REMEDY = "Take another copy, or train anew with another --out."
# What may differ between a run and its resumption.
MAY_DIFFER = frozenset(
    {"device", "torch", "commit", "version", "processes", "threads", "execution"}
)
# What torch raises for a file that is cut or damaged.
_DAMAGE = (
    OSError,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training is: steps and complete epochs, sums of the current epoch, seconds."""

    step: int
    epoch: int
    sums: tuple[Finite, Finite]  # of loss and share of hits
    seconds: Finite
    history: tuple[EpochMetrics, ...]
    recipe: Recipe


@dataclass(frozen=True)
class State:
    """What a trainer continues from."""

    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]  # as torch has it
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Checkpoint(TrainingRun):
    """A run and its trainer's state."""

    state: State

    @property
    def recipe(self) -> Recipe:
        return self.state.progress.recipe

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        return self.state.progress.epoch >= self.recipe.epochs


@dataclass(frozen=True, kw_only=True)
class _Saved(TrainingRun):
    """What is in a file, without tensors."""

    format: Literal[3]
    state: Progress


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """At once: a killed run leaves the last whole checkpoint."""
    state = checkpoint.state
    saved = _Saved(**fields_of(TrainingRun, checkpoint), format=FORMAT, state=state.progress)
    content = as_json(saved)
    content["state"] |= {"model": dict(state.model), "optimizer": dict(state.optimizer)}
    with write_whole(path) as stream:
        torch.save(content, stream)


def find_checkpoint(run: Path) -> Path:
    """Of the folder of a run, or the file itself."""
    return run / CHECKPOINT if run.is_dir() else run


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Raises CheckpointMismatch if there is no file, or it is no checkpoint, or damaged."""
    if not path.is_file():
        _refuse(path, "no file there. Correct the path, or train first")
    try:
        if not zipfile.is_zipfile(path):
            _refuse(path, "a file that is cut, or none that PyTorch wrote")
        content = torch.load(path, map_location=device, weights_only=True)
    except CheckpointMismatch:
        raise
    except pickle.UnpicklingError as error:  # torch's text advises to run what is in the file
        _refuse(path, "other things than tensors, numbers and texts in it", error)
    except _DAMAGE as error:
        _refuse(path, str(error).partition("\n")[0][:200].rstrip("."), error)
    return _parse(content, path)


def _refuse(path: Path, found: str, cause: Exception | None = None) -> NoReturn:
    raise CheckpointMismatch(f"{path}: expected {EXPECTED}; found {found}. {REMEDY}") from cause


def _parse(content: object, path: Path) -> Checkpoint:
    if not isinstance(content, dict) or not isinstance(content.get("state"), dict):
        _refuse(path, "other data")
    state = dict(content["state"])
    model, optimizer = (state.pop(name, None) for name in ("model", "optimizer"))
    if not isinstance(model, dict) or not all(isinstance(t, Tensor) for t in model.values()):
        _refuse(path, "none of the network's weights")
    if not isinstance(optimizer, dict):
        _refuse(path, "no state of the optimizer")
    described = {**content, "state": state}
    if content.get("format") == FLAT:
        described = _lift(described)
    try:
        text = json.dumps(described)
    except (TypeError, ValueError) as error:
        _refuse(path, f"other data: {error}", error)
    saved = parse_json(
        _Saved,
        text,
        where=str(path),
        expected=EXPECTED,
        remedy=REMEDY,
        fault=CheckpointMismatch,
    )
    return Checkpoint(**fields_of(TrainingRun, saved), state=State(model, optimizer, saved.state))


def _lift(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint of format 2 as one of the newest."""
    inner = ("classes", "labels", "train_images", "validation_images", "skipped")
    data = {key: flat[key] for key in inner if key in flat}
    if "data" in flat:
        data["name"] = flat["data"]
    if isinstance(digests := flat.get("data_sha256"), dict):
        data["parts"] = {split: {"images": None, "sha256": d} for split, d in digests.items()}
    outer = {key: value for key, value in flat.items() if key not in (*inner, "data_sha256")}
    return {**outer, "data": data, "format": FORMAT}


def build_trained(checkpoint: Checkpoint) -> Network:
    """The network of a checkpoint, with its weights, on the CPU.

    Raises CheckpointMismatch if they are another network's.
    """
    try:
        network = build_network(
            checkpoint.network, len(checkpoint.data.classes), **checkpoint.changes
        )
        network.load_state_dict(checkpoint.state.model)
    except (ValueError, TypeError, RuntimeError) as error:
        raise CheckpointMismatch(
            f"expected weights of {checkpoint.network}; found others: {str(error)[:200]}. {REMEDY}"
        ) from error
    return network


def verify_same_run(checkpoint: Checkpoint, header: Header, path: Path) -> None:
    """Raises CheckpointMismatch naming what differs between a checkpoint and this run."""
    if checkpoint.remade:
        maker = "models.enlarge" if checkpoint.adaptation else "models.average"
        raise CheckpointMismatch(
            f"{path}: expected a training to resume; found what {maker} made from one. Give "
            "another --out."
        )
    for name, (made_with, has) in _compare(checkpoint, header).items():
        if made_with != has:
            raise CheckpointMismatch(
                f"{path}: made with {name} {str(made_with)[:200]}, this run has "
                f"{str(has)[:200]}; give the same data and network, or another --out"
            )


def _compare(checkpoint: Checkpoint, header: Header) -> dict[str, tuple[object, object]]:
    """What has to be equal, by name; labels, names for people, may differ."""
    outer = [f.name for f in fields(Header) if f.name not in MAY_DIFFER and f.name != "data"]
    inner = ("name", "classes", "train_images", "validation_images", "skipped")
    old, new = checkpoint.data, header.data
    return {
        **{name: (getattr(checkpoint, name), getattr(header, name)) for name in outer},
        **{f"data {name}": (getattr(old, name), getattr(new, name)) for name in inner},
        "data SHA-256": (old.digests(), new.digests()),
    }
