"""service.repository.names: how requests name a model."""

import pytest

from service.repository.names import TWIN_SUFFIX, list_names, may_name_model


def test_a_model_and_its_twin() -> None:
    assert list_names("birds") == ("birds", f"birds{TWIN_SUFFIX}") == ("birds", "birds_image")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *((b"", False), (b"top_k=3", False), (b"explain=cam&class=cat", False)),
        *((b"model=birds", True), (b"%6dodel=birds", True), (b"top_k=1&model=", True)),
    ],
)
def test_queries_that_may_name_a_model(query: bytes, expected: bool) -> None:
    assert may_name_model(query) is expected
