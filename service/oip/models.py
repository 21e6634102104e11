"""The models of the protocol: each bundle twice, with tensors or image files as input."""

from dataclasses import dataclass
from functools import cached_property

from service.classification.classifier import Classifier
from service.messages.problems import Problem
from service.repository.catalogue import Catalogue
from service.repository.names import TWIN_SUFFIX, list_names
from service.repository.served import ServedModel

VERSION = "1"
SCORES, LOGITS, KNOWN = "scores", "logits", "known"


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a model; `dims` does not include the number of images, which comes first."""

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """One name and its model."""

    name: str
    takes_files: bool
    served: ServedModel
    version: str = VERSION

    @property
    def classifier(self) -> Classifier:
        """What answers."""
        return self.served.classifier

    @cached_property
    def input(self) -> TensorSpec:
        """The one input."""
        if self.takes_files:
            return TensorSpec("image_bytes", "BYTES", (1,))
        return TensorSpec("input", "FP32", tuple(self.classifier.manifest.input))

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Scores, which sum up to 1, and the logits from which they are computed.

        Of a model that has it also `known`, how likely an image shows one of the labels.
        """
        classes = len(self.labels)
        ranked = tuple(TensorSpec(name, "FP32", (classes,)) for name in (SCORES, LOGITS))
        has_known = self.classifier.manifest.known is not None
        return (*ranked, TensorSpec(KNOWN, "FP32", (1,))) if has_known else ranked

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(self.classifier.manifest.labels)

    @property
    def platform(self) -> str:
        """The engine, in the protocol's form."""
        return f"bnn_{self.classifier.engine.name}"


class Offers:
    """Finds models of a catalogue by name and version, each under both of its names."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def list(self) -> list[Model]:
        """All of them. Raises Problem not_ready, no_engine."""
        return [offer for served in self._catalogue.list() for offer in _offer(served)]

    def find(self, name: str, version: str | None) -> Model:
        """The model of this name; None: any version. Also raises Problem model_not_found."""
        served = self._catalogue.get(name)
        if served is None and name.endswith(TWIN_SUFFIX):
            served = self._catalogue.get(name.removesuffix(TWIN_SUFFIX))
        for offer in _offer(served or self._catalogue.default):  # who raises if there is none
            if offer.name == name and version in (None, offer.version):
                return offer
        raise Problem(
            "model_not_found",
            "expected the name and version of a model that is served; found another. POST "
            "/v2/repository/index lists them.",
        )

    @property
    def faults(self) -> dict[str, str]:
        """Name -> why its newest bundle is not served."""
        return self._catalogue.faults


def _offer(served: ServedModel) -> list[Model]:
    tensors, files = list_names(served.name)
    return [Model(tensors, False, served), Model(files, True, served)]
