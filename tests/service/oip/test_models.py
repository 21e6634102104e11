"""service.oip.models: which names there are, and what is behind each."""

from typing import Any

import pytest

from runtime import ImageLimits
from service.classifier import Classifier
from service.oip.models import Catalogue, TensorSpec
from service.problems import Problem
from tests.service.conftest import FakeEngine
from tests.service.oip.bodies import make_model


class Loaded:
    """An inference whose model is loaded."""

    classifier = Classifier(FakeEngine(), ImageLimits())


class Loading:
    """One whose model is not."""

    @property
    def classifier(self) -> Any:
        raise Problem("not_ready", "")


@pytest.fixture
def catalogue() -> Catalogue:
    inference: Any = Loaded()
    return Catalogue(inference)


def test_a_bundle_is_two_models(catalogue: Catalogue) -> None:
    tensors, files = catalogue.list()
    assert (tensors.name, tensors.takes_files) == ("tiny", False)
    assert tensors.input == TensorSpec("input", "FP32", (3, 32, 32))
    assert (files.name, files.takes_files) == ("tiny_image", True)
    assert files.input == TensorSpec("image_bytes", "BYTES", (1,))
    for model in (tensors, files):
        assert model.outputs == (
            TensorSpec("scores", "FP32", (3,)),
            TensorSpec("logits", "FP32", (3,)),
        )
        assert model.labels == ("red", "green", "blue")
        assert (model.platform, model.version) == ("bnn_native", "1")


@pytest.mark.parametrize("version", [None, "1"])
@pytest.mark.parametrize("name", ["tiny", "tiny_image"])
def test_finds_by_name_and_version(catalogue: Catalogue, name: str, version: str | None) -> None:
    assert catalogue.find(name, version).name == name


@pytest.mark.parametrize(
    ("name", "version"), [("other", None), ("", None), ("tiny", "2"), ("tiny", ""), ("TINY", "1")]
)
def test_unknown_models(catalogue: Catalogue, name: str, version: str | None) -> None:
    with pytest.raises(Problem) as caught:
        catalogue.find(name, version)
    assert caught.value.code == "not_found"
    assert not name or name not in caught.value.detail.split()


def test_before_the_model_is_loaded_its_name_is_unknown() -> None:
    inference: Any = Loading()
    with pytest.raises(Problem, match="not_ready"):
        Catalogue(inference).find("tiny", None)


def test_shapes_are_those_of_the_bundle() -> None:
    assert make_model(input=(3, 8, 16)).input.dims == (3, 8, 16)
