"""Initial weights of a training: a .safetensors file or a checkpoint of another run, or a bundle.

A file holds the network alone, without the optimizer's state: latent and float weights as float16,
batch norms as float32. If the classes differ, the last layer is first fitted to the new ones
(models.training.linear_probe); with --epochs 0 nothing else is trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.errors import RecipeError
from models.networks.binary import LATENT
from models.networks.meliusnet import MeliusNet
from models.networks.registry import Network, describe_network, find_changes
from models.networks.specs import SPECS
from models.records.figures import FinalAccuracy
from models.records.training_run import Changes
from models.records.typed_json import as_json, parse_json
from models.training.bundle_weights import describe_bundle, order_classes, restore_network
from models.training.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from models.training.growth import can_grow, grow
from models.training.linear_probe import find_last_layer
from runtime import read_bundle
from runtime.manifest import MANIFEST
from runtime.whole_file import write_whole

ABOUT = "about"  # key of the file's metadata
FREE = frozenset({"shift"})  # fields of the spec that matter only for random initial weights


@dataclass(frozen=True, kw_only=True)
class About:
    """What a file of weights says about them."""

    network: str
    changes: Changes
    classes: tuple[str, ...]
    data: str
    commit: str | None = None
    test: FinalAccuracy | None = None
    recipe: Changes = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """A trained network: what it is, and its tensors by name."""

    name: str  # for people: network, data and digest
    network: str
    changes: Changes
    classes: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    measured: bool = True  # the batch norms' means and variances are those of images

    def begin(self, network: Network, name: str, classes: Sequence[str]) -> bool:
        """Copies the weights into a new network called `name` for these classes.

        Returns whether the last layer was copied, too. Raises RecipeError for another network.
        """
        if isinstance(network, MeliusNet) and can_grow(self.network, network):
            return self._grow_into(network)
        mine = network.state_dict()
        same_classes = self.classes == tuple(classes)
        last = {id(parameter) for parameter in find_last_layer(network).parameters()}
        fitted_later = {n for n, p in network.named_parameters() if id(p) in last}
        wanted = mine.keys() - (set() if same_classes else fitted_later)
        differing = [
            key
            for key in sorted(wanted | (self.tensors.keys() - mine.keys()))
            if not (key in self.tensors and key in mine)
            or self.tensors[key].shape != mine[key].shape
        ]
        if differing or name != self.network:
            raise RecipeError(
                f"expected the network of the initial weights, {self.network} with "
                f"{dict(self.changes)}; found {name}"
                + (f", in which {', '.join(differing[:3])} differ" if differing else "")
                + ". Give the same network and stem, or leave --start out."
            )
        network.load_state_dict(
            mine | {key: self.tensors[key].to(mine[key].dtype) for key in wanted}
        )
        return same_classes

    def _grow_into(self, network: MeliusNet) -> bool:
        """Without the last layer, which is fitted to the features of the larger network."""
        last = find_last_layer(network)
        fitted_later = {id(parameter) for parameter in last.parameters()}
        keys = {n for n, p in network.named_parameters() if id(p) in fitted_later}
        kept = {key: tensor for key, tensor in self.tensors.items() if key not in keys}
        try:
            network.load_state_dict(
                grow(kept | {k: v for k, v in network.state_dict().items() if k in keys}, network)
            )
        except ValueError as error:
            raise RecipeError(
                f"expected a network that {self.network} with {dict(self.changes)} can grow into; "
                f"found another: {error}. Give the same stem, or leave --start out."
            ) from error
        return False


def read_start(path: Path, latent: float = LATENT) -> Start:
    """A .safetensors file of this module, a run of models.train (its folder or its checkpoint), or
    the folder of a bundle, whose latent weights get the size `latent`.

    Raises RecipeError if it is none of them; CheckpointMismatch; RuntimeFault.
    """
    if (path / MANIFEST).is_file():
        return _read_bundle(path, latent)
    path = find_checkpoint(path)
    if not path.is_file():
        raise RecipeError(
            "expected initial weights, a .safetensors file, a checkpoint.pt or a bundle; found "
            f"none at {path}"
        )
    tensors: Mapping[str, Tensor]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    if path.suffix == ".safetensors":
        about, tensors = _read_weights(path)
    else:
        checkpoint = read_checkpoint(path)
        about, tensors = describe(checkpoint), checkpoint.state.model
    if bad := [key for key, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise RecipeError(
            f"{path}: expected finite weights; found others in {', '.join(bad[:3])}. Give the "
            "weights of another training."
        )
    return Start(
        f"{describe_network(about.network, about.changes)} on {about.data} "
        f"({path.suffix[1:]} {digest})",
        about.network,
        about.changes,
        about.classes,
        tensors,
    )


def _read_bundle(path: Path, latent: float) -> Start:
    bundle = read_bundle(path)
    network = restore_network(bundle, latent)
    name = network.spec.name
    if name not in SPECS:
        raise RecipeError(
            f"{path}: expected a bundle of one of {', '.join(SPECS)}; found {name}. Give another."
        )
    classes, order = order_classes(bundle.manifest)
    tensors = network.state_dict()
    for parameter in ("weight", "bias"):
        tensors[f"head.fc.{parameter}"] = tensors[f"head.fc.{parameter}"][order]
    changes = cast(Changes, find_changes(name, asdict(network.spec)))
    return Start(describe_bundle(bundle), name, changes, classes, tensors, measured=False)


def _read_weights(path: Path) -> tuple[About, dict[str, Tensor]]:
    expected = "weights written by models.pretrained"
    try:
        with safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get(ABOUT, "")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise RecipeError(f"{path}: expected {expected}; found {error!r}") from error
    remedy = "Give a file of models.pretrained, or a checkpoint.pt."
    about = parse_json(
        About, told, where=str(path), expected=expected, remedy=remedy, fault=RecipeError
    )
    return about, tensors


def describe(checkpoint: Checkpoint) -> About:
    """What a file of weights says about its run."""
    return About(
        network=checkpoint.network,
        changes={k: v for k, v in checkpoint.changes.items() if k not in FREE},
        classes=checkpoint.data.classes,
        data=checkpoint.data.name,
        commit=checkpoint.commit,
        test=checkpoint.test,
        recipe=asdict(checkpoint.recipe),
    )


def _to_half(tensor: Tensor) -> Tensor:
    """Rounded to float16, but never to 0: a binary weight keeps its sign."""
    half, least = tensor.half(), torch.finfo(torch.float16).smallest_normal
    return torch.where((half == 0) & (tensor < 0), -least, half)


def write_weights(checkpoint: Checkpoint, path: Path) -> None:
    """Writes the network of a checkpoint, without the optimizer's state."""
    tensors = {
        key: (_to_half(tensor) if tensor.dim() > 1 else tensor).contiguous()
        for key, tensor in checkpoint.state.model.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    about = json.dumps(as_json(describe(checkpoint)), sort_keys=True)
    with write_whole(path) as stream:
        stream.write(save(tensors, {ABOUT: about}))
