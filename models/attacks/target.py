"""What is attacked: a bundle's engine, and a network with gradients that answers as it does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.attacks.files import answer_files
from models.attacks.gradients import check_finite
from models.attacks.rebuilt import REMEDY, SPREAD_IMAGES, check_rebuildable, rebuild
from models.data.augmentation import normalize
from models.data.others import OTHER
from models.data.preprocessing import evaluation_preprocessing
from models.errors import NoGradients, RecipeError
from models.evaluation.accuracy import find_classes
from models.export.bundle import UNFITTED, ExportOptions, Source, export_bundle, move_to_end
from models.networks.registry import Network, build_network
from models.records.provenance import digest_manifest
from models.teachers.kinds import Kinds
from models.training.checkpoint import build_trained, find_checkpoint, read_checkpoint
from models.training.initial_weights import Start, read_start
from runtime import Engine, Preprocessing, load_engine
from runtime.manifest import MANIFEST

BATCH = 50  # images at a time
AGREES = 0.98  # of the images, at least, have the same best label by network and engine

Answers = Callable[[Tensor], Tensor]  # logits of an engine -> logits of the classes attacked


@dataclass
class Target:
    """A bundle's engine, and `network` (None: without gradients): pixels float32 [N, 3, S, S] of
    0..255 -> logits [N, classes]. gradients: what the network is made from.
    """

    name: str
    engine: Engine
    network: nn.Module | None
    gradients: str | None
    classes: tuple[str, ...]
    answers: Answers
    grouped: bool = False  # classes are kinds, groups of the bundle's labels

    @property
    def preprocessing(self) -> Preprocessing:
        return self.engine.bundle.manifest.preprocessing

    @property
    def binary(self) -> bool:
        return len(self.engine.bundle.manifest.plan) > 0

    def score(self, pixels: Tensor) -> Tensor:
        """The engine's logits of pixels, which need not be whole levels."""
        rows = [
            torch.from_numpy(self.engine.predict(normalize(some, self.preprocessing).numpy()))
            for some in pixels.split(BATCH)
        ]
        return self.answers(torch.cat(rows))

    def answer_files(self, pixels: Tensor) -> Tensor:
        """The engine's logits of uint8 pixels that come to it as PNG files."""
        return self.answers(answer_files(self.engine, pixels))

    def check_gradients(self) -> None:
        """Raises NoGradients if there is no network, and none can be rebuilt from the bundle."""
        if self.network is None:
            check_rebuildable(self.engine.bundle)

    def add_gradients(self, pixels: Tensor) -> None:
        """Rebuilds the network from the bundle, measured on these pixels, if there is none.

        Raises NoGradients if it cannot be, if gradients are not finite, or if the network gives
        other answers than the engine.
        """
        if self.network is None:
            inputs = normalize(pixels[:SPREAD_IMAGES], self.preprocessing)
            network = rebuild(self.engine.bundle, inputs)
            self.network = PixelNetwork(network, self.preprocessing, self.answers)
            self.gradients = "bundle"
        some = pixels[:SPREAD_IMAGES].float()
        inputs = some[:BATCH].requires_grad_(True)
        check_finite(torch.autograd.grad(self.network(inputs).sum(), inputs)[0])
        with torch.no_grad():
            same = self.network(some).argmax(1) == self.score(some).argmax(1)
        if (share := same.double().mean().item()) < AGREES:
            raise NoGradients(
                f"{self.name}: expected a network with gradients that answers as the bundle's "
                f"engine on {len(some)} images; found another label on {1 - share:.0%}. {REMEDY}"
            )


class PixelNetwork(nn.Module):
    """Normalises pixels of 0..255 first; its parameters have no gradients."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, answers: Answers) -> None:
        super().__init__()
        self.network, self.answers = network, answers
        self.mean = torch.tensor(preprocessing.mean).view(3, 1, 1)
        self.std = torch.tensor(preprocessing.std).view(3, 1, 1)
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.answers(self.network((pixels - self.mean) / self.std))


@contextmanager
def open_target(
    path: Path, image_size: int | None = None, kinds: Kinds | None = None
) -> Iterator[Target]:
    """A bundle; or a checkpoint or a file of weights, of which a bundle is made for the time.

    image_size: with weights alone, which do not say it; kinds: groups of ImageNet's classes that
    are attacked instead of the classes. Raises RecipeError, CheckpointMismatch, RuntimeFault.
    """
    if (path / MANIFEST).is_file():
        if image_size is not None:
            raise RecipeError(
                "expected --image-size with a file of weights; found a bundle, which says it. "
                "Leave it out."
            )
        engine = load_engine(path)
        name = f"{engine.bundle.manifest.name} (manifest {digest_manifest(path)})"
        yield _make_target(name, engine, None, None, kinds)
        return
    start, network, preprocessing = open_network(path, image_size)
    classes = list(start.classes)
    known = None
    if OTHER in classes:  # it becomes the last logit, as models.export does it
        index, known = classes.index(OTHER), UNFITTED
        move_to_end(network, index)
        del classes[index]
    with tempfile.TemporaryDirectory() as folder:
        source = Source(network, classes, preprocessing, known=known)
        options = ExportOptions(parity_inputs=2, self_test=False)
        engine = load_engine(export_bundle(source, Path(folder) / "bundle", options))
        kind = "weights" if path.suffix == ".safetensors" else "checkpoint"
        yield _make_target(start.name, engine, network, kind, kinds)


def open_network(path: Path, image_size: int | None) -> tuple[Start, Network, Preprocessing]:
    """The network of a checkpoint or of weights. Raises RecipeError, CheckpointMismatch."""
    if (path / MANIFEST).is_file():
        raise RecipeError(
            f"{path}: expected a checkpoint.pt or .safetensors weights; found a bundle. Give what "
            "it was made from."
        )
    start = read_start(path)
    if path.suffix != ".safetensors":
        if image_size is not None:
            raise RecipeError(
                "expected --image-size with a file of weights; found a checkpoint, which says it. "
                "Leave it out."
            )
        checkpoint = read_checkpoint(find_checkpoint(path))
        return start, build_trained(checkpoint), checkpoint.preprocessing
    if image_size is None:
        raise RecipeError(
            f"{path}: expected --image-size SIDE, which weights do not say; found none. Give the "
            "side that the network was trained with, such as 64."
        )
    network = build_network(start.network, len(start.classes), **start.changes)
    start.begin(network, start.network, start.classes)
    return start, network.eval(), evaluation_preprocessing(image_size)


def open_surrogate(path: Path, target: Target) -> tuple[str, nn.Module]:
    """A network of the same classes that sees the target's pixels. Raises RecipeError."""
    start, network, _ = open_network(path, target.preprocessing.crop if _is_weights(path) else None)
    if start.classes != target.classes:
        raise RecipeError(
            f"{path}: expected --surrogate with the classes of the network that is attacked; found "
            "others. Give a network that was trained on the same classes."
        )
    network.eval()
    return start.name, PixelNetwork(network, target.preprocessing, lambda logits: logits)


def _is_weights(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _make_target(
    name: str, engine: Engine, network: nn.Module | None, gradients: str | None, kinds: Kinds | None
) -> Target:
    manifest = engine.bundle.manifest
    classes, answers = (
        group_answers(kinds, manifest.classes)
        if kinds is not None
        else (find_classes(manifest), lambda logits: logits[:, : manifest.classes])
    )
    pixel_network = network and PixelNetwork(network, manifest.preprocessing, answers)
    return Target(name, engine, pixel_network, gradients, classes, answers, kinds is not None)


def group_answers(kinds: Kinds, count: int) -> tuple[tuple[str, ...], Answers]:
    """The kinds, and a function of logits of ImageNet's classes: the log of each kind's
    probability. Other classes of ImageNet count for no kind. Raises RecipeError.
    """
    classes = tuple(sorted(kinds.groups))
    columns = [torch.tensor(kinds.groups[kind]) for kind in classes]
    least = 1 + max(int(column.max()) for column in columns)
    if count < least:
        raise RecipeError(
            f"expected a network of ImageNet's 1,000 classes with --kinds; found one of {count}. "
            "Leave --kinds out."
        )

    def answers(logits: Tensor) -> Tensor:
        likely = logits.log_softmax(1)
        return torch.stack([likely[:, column].logsumexp(1) for column in columns], 1)

    return classes, answers
