"""Each overlay and each combination of components that the tests of the manifests go through."""

import pytest

from tests.k8s.rendering import VARIANTS, Rendered, name_variant, render


@pytest.fixture(params=VARIANTS, ids=name_variant)
def variant(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The overlay and the names of the components."""
    variant: tuple[str, ...] = request.param
    return variant


@pytest.fixture
def rendered(variant: tuple[str, ...]) -> Rendered:
    """The objects of the variant."""
    return render(variant)
