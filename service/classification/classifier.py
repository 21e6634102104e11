"""The steps from an image's bytes to labels, without threads or HTTP; shared with the shell."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import numpy.typing as npt

from runtime import Engine, Hedged, Hedger, ImageLimits, ImageReader, Level, Manifest

DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class Prediction:
    """One label, its index among the model's classes and its score, 0..1.

    Scores are softmax(logits / temperature), at the temperature of the manifest.
    """

    label: str
    index: int
    score: float


@dataclass(frozen=True)
class Prepared:
    """A decoded image: its tensor, its facts, and the seconds of both steps."""

    tensor: npt.NDArray[np.float32]  # [3, H, W]; [0, H, W]: it is not needed any more
    format: str
    width: int
    height: int
    began: float  # of time.perf_counter
    decode_seconds: float
    preprocess_seconds: float

    def without_tensor(self) -> "Prepared":
        """The same without the tensor: an answer may exist while the next image is decoded."""
        return replace(self, tensor=np.empty((0, *self.tensor.shape[1:]), np.float32))


class InvalidTopK(ValueError):
    """More classes are wanted than the model has, or none."""


class NoHierarchy(ValueError):
    """A certainty is asked of a model that has no hierarchy of labels."""


class InvalidCertainty(ValueError):
    """A certainty that no level of the model's hierarchy has."""


@contextmanager
def _hold_nothing(_: int) -> Iterator[None]:
    yield


class Classifier:
    """An engine with the decoding before it and the ranking after it. Thread-safe."""

    def __init__(self, engine: Engine, limits: ImageLimits) -> None:
        self.engine = engine
        self.manifest: Manifest = engine.bundle.manifest
        self.model_id = identify_model(self.manifest)
        self.limits = limits
        self._reader = ImageReader(self.manifest.preprocessing, limits)
        hierarchy = self.manifest.hierarchy
        self._hedger = None if hierarchy is None else Hedger(hierarchy, self.manifest.labels)

    def with_limits(self, limits: ImageLimits) -> "Classifier":
        """The same engine, which reads images within other limits."""
        return Classifier(self.engine, limits)

    @property
    def engine_name(self) -> str:
        """The engine and its implementation, as native/avx2."""
        return f"{self.engine.name}/{self.engine.implementation}"

    def resolve_top_k(self, top_k: int | None) -> int:
        """The number of classes to show: `top_k`, or the default if None. Raises InvalidTopK."""
        classes = len(self.manifest.labels)
        if top_k is not None and not 1 <= top_k <= classes:
            raise InvalidTopK(f"expected 1 to {classes}, the model's classes; found {top_k}.")
        return top_k or min(DEFAULT_TOP_K, classes)

    def find_level(self, certainty: float) -> Level:
        """The level of hedged answers that are right at least as often: the next stricter one.

        Raises NoHierarchy, InvalidCertainty.
        """
        hierarchy = self.manifest.hierarchy
        if hierarchy is None:
            raise NoHierarchy(
                "certainty: expected a model with a hierarchy of labels; this one has none. Leave "
                "out certainty, or serve a bundle that models.hedge made."
            )
        level = hierarchy.find_level(certainty) if certainty > 0 else None
        if level is None:
            raise InvalidCertainty(
                f"expected a number above 0, at most {hierarchy.levels[-1].certainty:g}, which is "
                "what the model was fitted for; found something else. 95 % is 0.95."
            )
        return level

    def prepare(
        self, data: bytes, hold: Callable[[int], AbstractContextManager[None]] = _hold_nothing
    ) -> Prepared:
        """Decodes and preprocesses, inside `hold(bytes)` with the max memory that this takes.

        Raises InvalidImage and its kinds, MemoryError, and what `hold` raises.
        """
        reader = self._reader
        started = perf_counter()
        plan = reader.plan(data)
        planned = perf_counter()
        with hold(plan.decoding_bytes + len(data)):
            begun = perf_counter()
            image = reader.decode(data, plan)
            decoded = perf_counter()
            tensor = reader.prepare(image, plan)
        width, height = plan.upright_size
        return Prepared(
            tensor=tensor,
            format=plan.format,
            width=width,
            height=height,
            began=started,
            decode_seconds=planned - started + decoded - begun,
            preprocess_seconds=perf_counter() - decoded,
        )

    def infer(
        self, tensors: npt.NDArray[np.float32], threads: int
    ) -> tuple[npt.NDArray[np.float32], float]:
        """The logits [N, classes] of N images' tensors [N, 3, H, W], and the seconds they took.

        `threads`: that the engine may use for this call, at most.
        """
        started = perf_counter()
        logits = self.engine.predict(tensors, threads)
        return logits, perf_counter() - started

    def rank(self, logits: npt.NDArray[np.float32], top_k: int) -> list[Prediction]:
        """The `top_k` best classes, best first; of equal scores the lower index comes first.
        Raises ArithmeticError as `score` does.
        """
        scores = self.score(logits)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [Prediction(self.manifest.labels[i], int(i), float(scores[i])) for i in best]

    def estimate_known(self, logits: npt.NDArray[np.float32]) -> float | None:
        """How likely the image shows one of the labels at all, 0..1; None: the model cannot say.

        The logits must be finite, as `rank` and `score` see to.
        """
        known = self.manifest.known
        return None if known is None else known.estimate(logits)

    def hedge(self, logits: npt.NDArray[np.float32], level: Level) -> Hedged:
        """The label or node of the hierarchy that is certain enough at one of its levels.

        Raises ArithmeticError as `score` does; AssertionError without a hierarchy.
        """
        assert self._hedger is not None
        return self._hedger.answer(self.score(logits), level)

    def score(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The scores of all classes, softmax(logits / temperature): [classes], 0..1.

        A last logit for none of them is left out.

        Raises:
            ArithmeticError: the network answered with NaN or infinity.
        """
        if not np.isfinite(logits).all():
            raise ArithmeticError("expected finite logits; the network answered with NaN or inf")
        scaled = logits[: self.manifest.classes].astype(np.float64) / self.manifest.temperature
        scores: npt.NDArray[np.float64] = np.exp(scaled - scaled.max())
        scores /= scores.sum()
        return scores


def describe_unknown(manifest: Manifest, known: float | None) -> str | None:
    """What to say of an image with this `known`; None: nothing, or the model cannot say."""
    if known is None or manifest.known is None or known >= manifest.known.threshold:
        return None
    if manifest.classes == 1:
        return "The image probably does not show the one label."
    return f"The image probably shows none of the {manifest.classes} labels."


def identify_model(manifest: Manifest) -> str:
    """Twelve hexadecimal digits that change with everything that changes answers.

    That is the model's files, labels, preprocessing, temperature, `known` and hierarchy.
    """
    parts: list[object] = [manifest.labels, manifest.preprocessing]
    if manifest.temperature != 1:
        parts.append(manifest.temperature)
    if manifest.preprocessing.reduce is not None:
        parts.append(("reduce", manifest.preprocessing.reduce))
    if (known := manifest.known) is not None:
        parts.append(("known", known.source, known.slope, known.offset, known.threshold))
    if (hierarchy := manifest.hierarchy) is not None:
        parts.append(("hierarchy", hierarchy.nodes, hierarchy.parents, hierarchy.levels))
    digest = hashlib.sha256(repr(tuple(parts)).encode())
    for name, entry in sorted(manifest.files.items()):
        digest.update(f"{name} {entry.sha256}\n".encode())
    return digest.hexdigest()[:12]
