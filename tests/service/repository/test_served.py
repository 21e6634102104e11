"""service.repository.served: what is known of a model that answers."""

from tests.service.conftest import make_served


def test_its_parts() -> None:
    model = make_served("birds", input=(3, 8, 16))
    assert (model.name, model.input_pixels) == ("birds", 128)
    assert model.engine is model.classifier.engine


def test_each_is_itself() -> None:
    """A newer one of the same name is another, and jobs are grouped by it."""
    first, second = make_served(), make_served()
    assert first != second
    assert len({first, second, first}) == 2
