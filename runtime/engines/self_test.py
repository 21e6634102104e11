"""The self-test: compares an engine's logits of stored images with the stored logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import SELF_TEST, Bundle
from runtime.errors import REEXPORT, InvalidRecord, WrongAnswer
from runtime.kernels import library
from runtime.kernels.parts import Floats
from runtime.manifest import Manifest
from runtime.tensor_file import read_tensors

if TYPE_CHECKING:
    from runtime.engines.engine import Engine

Images = NDArray[np.uint8]
Verdict = Literal["exact", "within bound", "failed", "absent"]

KERNEL_ENGINES = ("torchscript", "native")  # the kernel library's: the same bits from both
ROUNDING = 1e-3  # of logits up to 1, by sums in another order; a share of larger ones
MAX_DISTANCE = 1e30  # of a parity figure that is taken for one
MAX_IMAGES = 256
FEW_BITS = 0.1  # of the logits' range: what a few features on the other side of a threshold change


@dataclass(frozen=True)
class StoredAnswers:
    """The content of the self-test file.

    images: uint8 [N, 3, h, w], RGB, smaller than the network's input. logits: float32 [N, classes],
    their answers by the native engine, or by the onnx engine for a network without a plan. spread:
    how much these change if the input changes by rounding.
    """

    images: Images
    logits: Floats
    spread: float


@dataclass(frozen=True)
class SelfTest:
    """The result of a self-test.

    "exact": the stored bits, for all `images` images. "within bound": no logit differs by more than
    `bound`, and each image gets the stored label; only the kernel library, with the bundle's own
    order of float operations, guarantees bits. "absent": the bundle stores no images.
    """

    verdict: Verdict
    engine: str
    implementation: str
    reason: str
    images: int = 0
    largest_difference: float | None = None  # of a logit; NaN if one is no number
    bound: float | None = None
    labels_that_differ: int = 0


def read_stored_answers(bundle: Bundle) -> StoredAnswers | None:
    """The stored images and logits of a bundle, if any. Raises InvalidRecord and others."""
    if SELF_TEST not in bundle.manifest.files:
        return None
    file = bundle.file(SELF_TEST)
    tensors, (_, height, width) = read_tensors(file), bundle.manifest.input
    found = {name: (str(tensor.dtype), tensor.shape) for name, tensor in tensors.items()}
    count, _, h, w = (*found.get("images", ("", ()))[1], 0, 0, 0, 0)[:4]
    expected = {
        "images": ("uint8", (count, 3, h, w)),
        "logits": ("float32", (count, bundle.manifest.logits)),
        "spread": ("float32", (1,)),
    }
    small = 1 <= count <= MAX_IMAGES and 1 <= h <= height and 1 <= w <= width
    if found != expected or not small:
        raise InvalidRecord(
            f"{file}: expected images uint8 [N, 3, at most {height}, at most {width}], N from 1 to "
            f"{MAX_IMAGES}, logits float32 [N, {bundle.manifest.logits}] and spread float32 [1], "
            f"found {found}. {REEXPORT}"
        )
    logits, spread = tensors["logits"], float(tensors["spread"][0])
    if not np.isfinite(logits).all() or not 0 <= spread < math.inf:
        raise InvalidRecord(f"{file}: expected finite values, found others. {REEXPORT}")
    return StoredAnswers(tensors["images"], logits, spread)


def make_inputs(images: Images, manifest: Manifest) -> Floats:
    """Stored images -> an engine's input, float32 [N, 3, H, W].

    Row y of H is row y * h // H of the stored image, columns likewise; then each channel becomes
    (pixel - mean) / std in float32.
    """
    _, height, width = manifest.input
    rows = np.arange(height) * images.shape[2] // height
    columns = np.arange(width) * images.shape[3] // width
    pixels = images[:, :, rows][:, :, :, columns].astype(np.float32)
    spec = manifest.preprocessing
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in (spec.mean, spec.std))
    return np.ascontiguousarray((pixels - mean) / std)


def find_bound(manifest: Manifest, engine: str, stored: StoredAnswers) -> float:
    """The max difference between an engine's logits and the stored ones if nothing is wrong.

    The manifest's parity is the difference between each engine and the training graph, on other
    inputs. The stored logits are also those of an engine, so both differences add up. Rounding is
    added, and the change by rounding of the stored images' own logits when they were chosen, if a
    feature lies near a threshold. Without a measured parity, it is FEW_BITS of the logits' range.
    """
    rounding = ROUNDING * max(1.0, float(np.abs(stored.logits).max())) + stored.spread
    distances = [_find_distance(manifest, name) for name in (engine, stored_by(manifest))]
    if None in distances:
        return FEW_BITS * float(np.ptp(stored.logits)) + rounding
    return sum(filter(None, distances)) + rounding


def stored_by(manifest: Manifest) -> str:
    """The engine whose logits a bundle stores."""
    return "native" if manifest.plan else "onnx"


def _find_distance(manifest: Manifest, engine: str) -> float | None:
    """The parity figure of an engine. It is part of a free record: it may be anything."""
    figures = manifest.parity.get(engine)
    value = figures.get("max_abs_logit_difference") if isinstance(figures, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < MAX_DISTANCE else None


def run_self_test(engine: Engine) -> SelfTest:
    """Compares an engine's logits of all stored images with the stored ones. Raises BundleError."""
    name, implementation, manifest = engine.name, engine.implementation, engine.bundle.manifest
    stored = read_stored_answers(engine.bundle)
    if stored is None:
        return SelfTest(
            *("absent", name, implementation),
            "the bundle stores no images to compare with; python -m models.upgrade adds some",
        )
    inputs = (make_inputs(image[np.newaxis], manifest) for image in stored.images)  # one at a time
    logits = np.vstack([engine.predict(x) for x in inputs], dtype=np.float32)
    bound = find_bound(manifest, name, stored)
    difference = np.abs(logits - stored.logits).max(axis=1)
    best, expected = (x[:, : manifest.classes].argmax(1) for x in (logits, stored.logits))
    labels = int((best != expected).sum())
    unequal = int((logits.view(np.uint32) != stored.logits.view(np.uint32)).any(axis=1).sum())
    doubt = _why_not_exact(name, manifest)
    verdict: Verdict = "failed"
    if unequal == 0:
        verdict, reason = "exact", "all stored bits are equal"
    elif doubt is None:
        reason = (
            f"expected the stored bits, found others for {unequal} of {len(logits)} images: a "
            "weight was changed, or the kernels are wrong on this CPU"
        )
    elif labels or not (difference <= bound).all():
        reason = (
            f"expected the stored labels and logits within {bound:.3g}, found {labels} other "
            f"labels and logits up to {difference.max():.3g} away"
        )
    else:
        verdict, reason = "within bound", doubt
    return SelfTest(
        *(verdict, name, implementation, reason, len(logits)),
        *(float(difference.max()), bound, labels),
    )


def _why_not_exact(engine: str, manifest: Manifest) -> str | None:
    """Why an engine may give other bits than the stored ones; None if it may not."""
    if engine not in KERNEL_ENGINES or not manifest.plan:
        return f"the engine {engine} may add in another order on each CPU"
    if manifest.float_order != (own := library.float_order()):
        return (
            f"the stored logits have number {manifest.float_order} of the order of float "
            f"operations, this kernel library {own}"
        )
    return None


def check_at_load(engine: Engine) -> None:
    """Compares the logits of one stored image, within the bound. Raises WrongAnswer, BundleError.

    It says that kernels and weights belong together and work; the exact comparison is
    run_self_test's. A bundle that stores no images passes.
    """
    bundle = engine.bundle
    if (stored := read_stored_answers(bundle)) is None:
        return
    (logits,) = engine.predict(make_inputs(stored.images[:1], bundle.manifest))
    difference = float(np.abs(logits - stored.logits[0]).max())
    bound = find_bound(bundle.manifest, engine.name, stored)
    if not difference <= bound:
        raise WrongAnswer(
            f"{bundle.path}: expected the engine {engine.name}/{engine.implementation} to answer "
            f"to a stored image within {bound:.3g} of the stored logits, found {difference:.3g}. "
            "Where another engine, or BNN_FORCE_IMPLEMENTATION=generic, gives the stored answer, "
            "these kernels are wrong on this CPU: please report it. Where none does, export the "
            "bundle again."
        )
