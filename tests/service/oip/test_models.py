"""service.oip.models: which names there are, and what is behind each."""

import pytest

from runtime import Known
from service.messages.problems import Problem
from service.oip.models import Offers, TensorSpec
from service.repository.catalogue import Catalogue
from tests.service.conftest import make_served
from tests.service.oip.bodies import make_model


@pytest.fixture
def offers() -> Offers:
    """Of a default model and another one."""
    catalogue = Catalogue(lambda: None)
    catalogue.put(make_served(), is_default=True)
    catalogue.put(make_served("other"))
    return Offers(catalogue)


def test_each_bundle_is_two_models(offers: Offers) -> None:
    tensors, files, *others = offers.list()
    assert [model.name for model in others] == ["other", "other_image"]
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


def test_what_knows_none_of_these_has_one_output_more() -> None:
    known = Known("other", slope=1.0, offset=0.0, threshold=0.5)
    for model in (make_model(known=known), make_model(True, known=known)):
        assert model.outputs == (
            TensorSpec("scores", "FP32", (3,)),
            TensorSpec("logits", "FP32", (3,)),
            TensorSpec("known", "FP32", (1,)),
        )


@pytest.mark.parametrize("version", [None, "1"])
@pytest.mark.parametrize("name", ["tiny", "tiny_image", "other", "other_image"])
def test_finds_by_name_and_version(offers: Offers, name: str, version: str | None) -> None:
    found = offers.find(name, version)
    assert found.name == name
    assert found.served.name == name.removesuffix("_image")


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *(("nobody", None), ("", None), ("tiny", "2"), ("tiny", ""), ("TINY", "1")),
        *(("_image", None), ("tiny_image_image", None), ("nobody_image", "1")),
    ],
)
def test_unknown_models(offers: Offers, name: str, version: str | None) -> None:
    with pytest.raises(Problem) as caught:
        offers.find(name, version)
    assert caught.value.code == "model_not_found"
    assert not name or name not in caught.value.detail.split()


def test_before_the_model_is_loaded_its_name_is_unknown() -> None:
    def check_started() -> None:
        raise Problem("not_ready", "")

    with pytest.raises(Problem, match="not_ready"):
        Offers(Catalogue(check_started)).find("tiny", None)


def test_names_whose_newest_bundles_are_refused(offers: Offers) -> None:
    assert offers.faults == {}
    offers._catalogue.faults["new"] = "why"
    assert offers.faults == {"new": "why"}


def test_shapes_are_those_of_the_bundle() -> None:
    assert make_model(input=(3, 8, 16)).input.dims == (3, 8, 16)
