"""Checkpoints: written whole or not at all, read without unpickling code, refused for another run.

A checkpoint is a header (what the run is), the trainer's state and, at the end, the figures of the
test set. Everything in it is a tensor, a number or a text.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.errors import CheckpointMismatch
from models.networks.registry import Network, build_network
from runtime.whole_file import write_whole

FORMAT = 2
CHECKPOINT = "checkpoint.pt"  # in the folder of a run
# What may differ between the parts of a resumed run.
MAY_DIFFER = frozenset(
    {"device", "torch", "commit", "version", "processes", "threads", "execution", "labels"}
)
# What every reader takes from a checkpoint, and what a run needs to go on from it.
CONTENT = frozenset({"network", "classes", "preprocessing", "state"})
STATE = frozenset({"model", "epoch", "recipe"})
TO_RESUME = frozenset({"started", "test", "calibration"})
STATE_TO_RESUME = frozenset({"optimizer", "step", "sums", "seconds", "history"})
# What torch raises where a file is cut, or has other bits than were written.
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


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """At once: a killed run leaves the last whole checkpoint."""
    with write_whole(path) as stream:
        torch.save(dict(content), stream)


def find_checkpoint(run: Path) -> Path:
    """Of the folder of a run, or the file itself."""
    return run / CHECKPOINT if run.is_dir() else run


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The content. Raises CheckpointMismatch if the file is none, or damaged; OSError."""
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # there is no such file, or it may not be read
        raise CheckpointMismatch(
            f"{path}: expected a checkpoint of models.train; found {str(error)[:200]}. If it is "
            "damaged, take another copy or train anew."
        ) from error
    if not isinstance(content, dict) or not {"network", "state"} <= content.keys():
        raise CheckpointMismatch(f"{path}: expected a checkpoint of models.train; found other data")
    _check_keys(content, CONTENT, STATE, path)
    return content


def _check_keys(
    content: Mapping[str, Any], keys: frozenset[str], state_keys: frozenset[str], path: Path
) -> None:
    state = content["state"] if isinstance(content["state"], dict) else {}
    lacking = [*sorted(keys - content.keys()), *sorted(state_keys - state.keys())]
    if lacking:
        raise CheckpointMismatch(
            f"{path}: expected a checkpoint of models.train; it lacks {', '.join(lacking)}. Take "
            "another copy, or train anew with another --out."
        )


def is_finished(content: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is of a training that ran through its recipe."""
    return bool(content["state"]["epoch"] >= content["state"]["recipe"]["epochs"])


def build_trained(content: Mapping[str, Any]) -> Network:
    """The network of a checkpoint's content, with its weights, on the CPU."""
    changes = content.get("changes", {})
    network = build_network(content["network"], len(content["classes"]), **changes)
    network.load_state_dict(content["state"]["model"])
    return network


def verify_same_run(content: Mapping[str, Any], header: Mapping[str, Any], path: Path) -> None:
    """Raises CheckpointMismatch naming what differs between a checkpoint and this run, or what it
    lacks to go on from.
    """
    if content.get("enlarged"):
        raise CheckpointMismatch(
            f"{path}: expected a training to go on with; found what models.enlarge made of one. "
            "Give another --out."
        )
    for key, value in header.items():
        if key not in MAY_DIFFER and content.get(key) != value:
            raise CheckpointMismatch(
                f"{path}: made with {key} {str(content.get(key))[:200]}, this run has "
                f"{str(value)[:200]}; give the same data and network, or another --out"
            )
    _check_keys(content, TO_RESUME, STATE_TO_RESUME, path)
