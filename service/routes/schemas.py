"""The JSON that the service answers with; the source of its OpenAPI description."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from runtime import IMPLEMENTATIONS


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class PredictionBody(_Answer):
    """One class."""

    label: str = Field(examples=["cat"])
    index: int = Field(ge=0, description="position among the model's labels", examples=[3])
    score: float = Field(
        ge=0,
        le=1,
        description="softmax over all classes, at the model's temperature",
        examples=[0.93],
    )


class ModelBody(_Answer):
    """Which model answered."""

    name: str = Field(examples=["meliusnet22"])
    id: str = Field(
        description="changes with any byte of the model's files", examples=["0f3a9c41d7be"]
    )
    trained: bool = Field(description="false: random weights, the labels mean nothing")
    notice: str | None = Field(
        None, description="what to know before believing the answer; null for a trained model"
    )


class ImageBody(_Answer):
    """The image as it was understood."""

    format: str = Field(description="JPEG, PNG, WEBP or AVIF, by its bytes", examples=["JPEG"])
    width: int = Field(description="pixels, upright", examples=[512])
    height: int = Field(description="pixels, upright", examples=[341])


class StageTimingsBody(_Answer):
    """Milliseconds of one image's way through a worker."""

    queue: float = Field(description="waiting for a worker", examples=[0.1])
    decode: float = Field(description="bytes to pixels", examples=[3.1])
    preprocess: float = Field(description="resize, crop, normalise", examples=[0.6])
    infer: float = Field(
        description="the network; images that are computed together share it", examples=[4.2]
    )


class TimingsBody(StageTimingsBody):
    """Milliseconds. What total has above the sum of the stages is HTTP and waiting for the loop."""

    receive: float = Field(description="until the body was complete", examples=[1.2])
    total: float = Field(description="from the head of the request on", examples=[9.4])


class HedgedBody(_Answer):
    """The label, or the name for several labels, that is right as often as was asked."""

    label: str = Field(description="a label, or a node of the hierarchy", examples=["animal"])
    phrase: str | None = Field(
        description="how a sentence names one of a node; null for a label", examples=["an animal"]
    )
    score: float = Field(
        ge=0, le=1, description="sum of the scores of the labels covered", examples=[0.97]
    )
    covers: int = Field(
        ge=1, description="labels covered; of all of them: nothing is certain enough", examples=[13]
    )
    path: list[str] = Field(
        description="the nodes above it, outermost first, without that of all labels",
        examples=[["living thing"]],
    )
    certainty: float = Field(
        description="what the answer was made for: the next stricter level of the model",
        examples=[0.95],
    )


class _MoreBody(_Answer):
    """What an image's answer may have beside predictions: by the model, or by what was asked."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    known: float | None = Field(
        None,
        ge=0,
        le=1,
        description="how likely the image shows one of the labels at all; there only if the model "
        'knows "none of these" (has_known of GET /models)',
        examples=[0.97],
    )
    notice: str | None = Field(
        None,
        description="there beside known: what to know before believing the predictions, where "
        "known is below the model's threshold; else null",
    )
    hedged: HedgedBody | None = Field(None, description="there only if certainty was given")


class ClassifyBody(_MoreBody):
    """The answer to POST /classify."""

    predictions: list[PredictionBody] = Field(description="best first")
    model: ModelBody
    engine: str = Field(description="engine/implementation", examples=["native/avx512"])
    image: ImageBody
    timings_ms: TimingsBody
    request_id: str = Field(examples=["6f1c2a0b9d4e4f0c8a7b6c5d4e3f2a1b"])


class ProblemItemBody(_Answer):
    """Why one image of several has no answer, with the members of RFC 9457."""

    type: str = Field(examples=["urn:bnn:problem:invalid_image"])
    title: str = Field(examples=["The image cannot be decoded"])
    status: int = Field(examples=[422])
    detail: str = Field(description="expected, found, remedy")
    code: str = Field(description="stable, for programs", examples=["invalid_image"])


class BatchItemBody(_MoreBody):
    """One image of several that has an answer."""

    index: int = Field(ge=0, description="position in the form, from 0 on")
    predictions: list[PredictionBody] = Field(description="best first")
    image: ImageBody
    timings_ms: StageTimingsBody


class BatchFaultBody(_Answer):
    """One image of several that has a problem instead of an answer."""

    index: int = Field(ge=0, description="position in the form, from 0 on")
    problem: ProblemItemBody


class BatchTimingsBody(_Answer):
    """Milliseconds of the whole request."""

    receive: float = Field(description="until the body was complete", examples=[1.2])
    total: float = Field(description="from the head of the request on", examples=[9.4])


class BatchBody(_Answer):
    """The answer to POST /classify/batch: one result for each image, in the order of the form."""

    results: list[BatchItemBody | BatchFaultBody]
    model: ModelBody
    engine: str = Field(description="engine/implementation", examples=["native/avx512"])
    timings_ms: BatchTimingsBody
    request_id: str = Field(examples=["6f1c2a0b9d4e4f0c8a7b6c5d4e3f2a1b"])


class StateBody(_Answer):
    """The answer to the probes."""

    status: str = Field(examples=["ok"])


class ProblemBody(ProblemItemBody):
    """Any error, as application/problem+json (RFC 9457)."""

    request_id: str


class InfoModelBody(_Answer):
    """The served bundle, by its manifest."""

    name: str
    id: str
    format: int = Field(description="format of the bundle")
    trained: bool
    training: dict[str, Any] | None = Field(
        description="data set, recipe and measured accuracy; null for random weights"
    )
    architecture: dict[str, Any]
    created: dict[str, Any]
    classes: int
    labels: list[str]
    input: dict[str, Any] = Field(description="shape [channels, height, width] and dtype")
    preprocessing: dict[str, Any]
    temperature: float = Field(description="scores are softmax(logits / temperature)")
    files: dict[str, int] = Field(description="bytes by file")
    parity: dict[str, Any] = Field(
        description="by engine: difference to the training graph, measured at export"
    )
    quantization: dict[str, Any] | None = Field(
        description="what 8-bit float layers changed, measured at export; null where there are none"
    )
    reduction: dict[str, Any] | None = Field(
        description="what decoding at a fraction of the size changed; null where nobody measured it"
    )
    known: dict[str, Any] | None = Field(
        description='how the model says that an image shows none of the labels ("none of these"): '
        "source, slope, offset, threshold, and what was measured; null where it cannot"
    )
    hierarchy: dict[str, Any] | None = Field(
        description="of a model whose answers can be hedged: the certainties that may be asked, "
        "the number of nodes, the images that fitted them, what must go along with the names, and "
        "what was measured; null where they cannot"
    )


class SkippedBody(_Answer):
    """An engine that was preferred and could not run."""

    name: str
    cause: str = Field(description="failed, or by choice: not_installed, not_in_bundle")
    reason: str


class InfoEngineBody(_Answer):
    """What computes the answers."""

    name: str = Field(description="native, torchscript or onnx")
    implementation: str = Field(description=f"{', '.join(IMPLEMENTATIONS)}; cpu for onnx")
    requested: str = Field(description="the setting: auto or a name")
    skipped: list[SkippedBody]
    threads: int
    explains: bool = Field(description="whether /classify?explain=cam has an answer")
    model_bytes: int = Field(description="of the files this engine reads")
    workspace_bytes: int = Field(
        description="activations, while it computes; 0: the library below allocates as it goes"
    )


class SelfTestBody(_Answer):
    """How the engine's logits of stored images compare with the stored ones, on this CPU."""

    verdict: str = Field(
        description="exact: every bit; within bound: every label, and no logit further away than "
        "bound; absent: the bundle stores none. A service that fails is not ready"
    )
    reason: str
    images: int
    largest_difference: float | None = Field(description="of a logit")
    bound: float | None


class InfoBody(_Answer):
    """The answer to GET /info."""

    model: InfoModelBody
    engine: InfoEngineBody
    self_test: SelfTestBody
    cpu: dict[str, Any] = Field(description="model, usable CPUs, features that matter to kernels")
    limits: dict[str, int] = Field(
        description="what a request may have, by setting; max_pixels_FORMAT: at full size"
    )
    versions: dict[str, str]
    memory_bytes: dict[str, int] = Field(
        description="of the process: rss, pss, anonymous, peak; see README"
    )


class ServedModelBody(_Answer):
    """One of the models that are served."""

    name: str = Field(description="for ?model= and the Open Inference Protocol", examples=["birds"])
    is_default: bool = Field(description="answers where a request names no model")
    id: str = Field(
        description="changes with any byte of the model's files", examples=["0f3a9c41d7be"]
    )
    trained: bool = Field(description="false: random weights, the labels mean nothing")
    engine: str = Field(description="engine/implementation", examples=["native/avx512"])
    classes: int = Field(examples=[22])
    has_known: bool = Field(
        description='whether the model knows "none of these": its answers have `known`'
    )
    has_hierarchy: bool = Field(description="whether /classify?certainty=... has an answer")
    is_newest: bool = Field(
        description="false: its folder has a newer bundle that cannot be served; the log says why"
    )


class ModelsBody(_Answer):
    """The answer to GET /models."""

    models: list[ServedModelBody] = Field(description="the default one first")
    failed: list[str] = Field(
        description="names whose bundles cannot be served; the service's log says why"
    )
