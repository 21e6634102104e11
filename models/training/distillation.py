"""Teachers for distillation: a network trained here, or EfficientNet-Lite trained on ImageNet.

A teacher sees the student's augmented pixels, at its own input size, and answers for the student's
classes. It is needed while training only: nothing of it gets into a bundle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.augmentation import normalize
from models.data.catalog import PHOTOS
from models.errors import RecipeError
from models.networks.registry import describe_network
from models.teachers.imagenet import EFFICIENTNETS, load_efficientnet
from models.training.checkpoint import build_trained, read_checkpoint
from runtime.images import Preprocessing


class Teacher:
    """Pixels uint8 [N, 3, S, S] -> logits [N, classes], in the order of the student's classes."""

    def __init__(
        self, name: str, network: nn.Module, preprocessing: Preprocessing, columns: Sequence[int]
    ) -> None:
        self.name = name
        self._network = network.eval().requires_grad_(False)
        self._preprocessing = preprocessing
        self._columns = torch.tensor(columns)

    def to(self, device: torch.device) -> Teacher:
        self._network.to(device)
        self._columns = self._columns.to(device)
        return self

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        side = self._preprocessing.crop
        if pixels.shape[-1] != side:
            resized = F.interpolate(
                pixels.float(), (side, side), mode="bilinear", antialias=True, align_corners=False
            )
            pixels = resized.round_().clamp_(0, 255)
        logits: Tensor = self._network(normalize(pixels, self._preprocessing))
        return logits.index_select(1, self._columns).float()


def load_teacher(teacher: str, classes: Sequence[str]) -> Teacher:
    """One of EFFICIENTNETS, or the checkpoint of another run, for a student of these classes.

    Raises RecipeError if it does not know them, or if its package is not installed.
    """
    if teacher in EFFICIENTNETS:
        return _load_efficientnet(teacher, classes)
    path = Path(teacher)
    if not path.is_file():
        raise RecipeError(
            f"expected a teacher: the checkpoint.pt of a run, or one of "
            f"{', '.join(EFFICIENTNETS)}; found {teacher}"
        )
    checkpoint = read_checkpoint(path)
    index = {name: column for column, name in enumerate(checkpoint.data.classes)}
    columns = _find_columns(path.name, index, classes)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    network = describe_network(checkpoint.network, checkpoint.changes)
    name = f"{network} on {checkpoint.data.name} (checkpoint {digest})"
    return Teacher(name, build_trained(checkpoint), checkpoint.preprocessing, columns)


def _find_columns(name: str, index: dict[str, int], classes: Sequence[str]) -> list[int]:
    if missing := [c for c in classes if c not in index]:
        raise RecipeError(
            f"{name}: expected a teacher that knows all {len(classes)} classes of the data; it "
            f"lacks {', '.join(missing[:5])}. Take a network trained on the same set."
        )
    return [index[c] for c in classes]


def _load_efficientnet(name: str, classes: Sequence[str]) -> Teacher:
    known = {wnid: photo.index for wnid, photo in PHOTOS.items()}
    columns = _find_columns(name, known, classes)
    network, pixels = load_efficientnet(name)
    return Teacher(f"{name} 0.1.0 on ImageNet", network, pixels, columns)
