"""The service's answers as frozen dataclasses; unknown members are ignored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """One class: its label, its position among the model's labels, its score from 0 to 1."""

    label: str
    index: int
    score: float


@dataclass(frozen=True)
class Hedged:
    """A label, or a node over several, that is right as often as was asked.

    `phrase` names one of a node in a sentence ("an animal") and is None for a label; `score` is the
    sum over the labels that it `covers`; `path` has the nodes above it, outermost first;
    `certainty` is the model's level that was used, which is at least what was asked.
    """

    label: str
    phrase: str | None
    score: float
    covers: int
    path: tuple[str, ...]
    certainty: float


@dataclass(frozen=True)
class Model:
    """The model that answered; `notice` is a warning to read before using the answer."""

    name: str
    id: str
    trained: bool
    notice: str | None


@dataclass(frozen=True)
class ImageInfo:
    """The image as it was understood; width and height in pixels, upright."""

    format: str
    width: int
    height: int


@dataclass(frozen=True)
class StageTimings:
    """Milliseconds of one image in a worker."""

    queue: float
    decode: float
    preprocess: float
    infer: float


@dataclass(frozen=True)
class Timings(StageTimings):
    """Milliseconds of one request: `receive` of its body, `total` from its head on."""

    receive: float
    total: float


@dataclass(frozen=True)
class BatchTimings:
    """Milliseconds of a request with several images."""

    receive: float
    total: float


@dataclass(frozen=True)
class Classification:
    """The answer for one image; `predictions` are best first.

    `known`: how likely the image shows one of the labels at all, from 0 to 1; None: the model does
    not know "none of these". `notice`: what to know before believing the predictions. `hedged`: if
    a certainty was asked.
    """

    predictions: tuple[Prediction, ...]
    model: Model
    engine: str
    image: ImageInfo
    timings_ms: Timings
    request_id: str
    known: float | None = None
    notice: str | None = None
    hedged: Hedged | None = None

    @property
    def best(self) -> Prediction:
        """The class with the highest score."""
        return self.predictions[0]


@dataclass(frozen=True)
class BatchItem:
    """The answer for one image of several; `index` is its position among those sent.

    `known`, `notice` and `hedged` are as those of a Classification.
    """

    index: int
    predictions: tuple[Prediction, ...]
    image: ImageInfo
    timings_ms: StageTimings
    known: float | None = None
    notice: str | None = None
    hedged: Hedged | None = None

    @property
    def best(self) -> Prediction:
        """The class with the highest score."""
        return self.predictions[0]


@dataclass(frozen=True)
class ItemProblem:
    """Why one image of several has no answer; `code` is for programs, `detail` for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


@dataclass(frozen=True)
class BatchFault:
    """One image of several that has no answer; `index` is its position among those sent."""

    index: int
    problem: ItemProblem


@dataclass(frozen=True)
class Batch:
    """The answer for several images: one result for each, in the order in which they were sent."""

    results: tuple[BatchItem | BatchFault, ...]
    model: Model
    engine: str
    timings_ms: BatchTimings
    request_id: str


@dataclass(frozen=True)
class ModelInfo:
    """The served bundle, by its manifest; `files` has bytes by name.

    `known`: how the model knows "none of these"; None: it does not, or the service is an older one.
    `hierarchy`: the certainties that may be asked, and what was measured; None: as with `known`.
    """

    name: str
    id: str
    format: int
    trained: bool
    training: Mapping[str, Any] | None
    architecture: Mapping[str, Any]
    created: Mapping[str, Any]
    classes: int
    labels: tuple[str, ...]
    input: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    temperature: float
    files: Mapping[str, int]
    parity: Mapping[str, Any]
    quantization: Mapping[str, Any] | None
    reduction: Mapping[str, Any] | None
    known: Mapping[str, Any] | None = None
    hierarchy: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ServedModel:
    """One of the served models; the default model answers requests that name none.

    If not `is_newest`, a newer bundle of this name exists and cannot be served. `has_known`: it
    can say "none of these". `has_hierarchy`: its answers can be hedged.
    """

    name: str
    is_default: bool
    id: str
    trained: bool
    engine: str
    classes: int
    is_newest: bool
    has_known: bool = False
    has_hierarchy: bool = False


@dataclass(frozen=True)
class ServedModels:
    """The answer to GET /models, the default one first; `failed` names what cannot be served."""

    models: tuple[ServedModel, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True)
class SkippedEngine:
    """An engine that was preferred and could not run; `cause` tells a fault from a choice."""

    name: str
    cause: str
    reason: str


@dataclass(frozen=True)
class EngineInfo:
    """The engine, and whether it can explain its answers; sizes in bytes."""

    name: str
    implementation: str
    requested: str
    skipped: tuple[SkippedEngine, ...]
    threads: int
    explains: bool
    model_bytes: int
    workspace_bytes: int


@dataclass(frozen=True)
class SelfTest:
    """How the engine's logits of stored images compare with the stored ones."""

    verdict: str
    reason: str
    images: int
    largest_difference: float | None
    bound: float | None


@dataclass(frozen=True)
class ServiceInfo:
    """The answer to GET /info: everything needed to judge the answers."""

    model: ModelInfo
    engine: EngineInfo
    self_test: SelfTest
    cpu: Mapping[str, Any]
    limits: Mapping[str, int]
    versions: Mapping[str, str]
    memory_bytes: Mapping[str, int]
