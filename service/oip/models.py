"""The models that are offered by name, each a bundle with one way in: tensors, or image files."""

from dataclasses import dataclass
from functools import cached_property

from service.classifier import Classifier
from service.inference import Inference
from service.problems import Problem

#: Of a model's name: the one with it takes image files, the one without tensors.
IMAGE_SUFFIX = "_image"
VERSION = "1"
SCORES, LOGITS = "scores", "logits"


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a model; `dims` are without the images, which come first."""

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """One name, and what is behind it."""

    name: str
    takes_files: bool
    classifier: Classifier
    version: str = VERSION

    @cached_property
    def input(self) -> TensorSpec:
        """The one input."""
        if self.takes_files:
            return TensorSpec("image_bytes", "BYTES", (1,))
        return TensorSpec("input", "FP32", tuple(self.classifier.manifest.input))

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Scores, which sum up to 1, and the logits that they are made of."""
        classes = len(self.labels)
        return tuple(TensorSpec(name, "FP32", (classes,)) for name in (SCORES, LOGITS))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(self.classifier.manifest.labels)

    @property
    def platform(self) -> str:
        """What computes, in the protocol's form."""
        return f"bnn_{self.classifier.engine.name}"


class Catalogue:
    """Finds models by name and version: the one place that knows which there are."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    def list(self) -> list[Model]:
        """All of them. Raises Problem not_ready, no_engine."""
        classifier = self._inference.classifier
        name = classifier.manifest.name
        return [
            Model(name, False, classifier),
            Model(f"{name}{IMAGE_SUFFIX}", True, classifier),
        ]

    def find(self, name: str, version: str | None) -> Model:
        """The model of this name; None: whatever version. Raises Problem not_found beside those."""
        for model in self.list():
            if model.name == name and version in (None, model.version):
                return model
        raise Problem(
            "not_found",
            "expected the name and version of a model that is served; found another. POST "
            "/v2/repository/index lists them.",
        )
