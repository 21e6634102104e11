"""service.repository.names: how a model is called in the Open Inference Protocol."""

from service.repository.names import TWIN_SUFFIX, list_names


def test_a_model_and_its_twin() -> None:
    assert list_names("birds") == ("birds", f"birds{TWIN_SUFFIX}") == ("birds", "birds_image")
