"""service.system.quick_imports: what is different inside, and what stays so."""

import gc
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from service.system.quick_imports import quick_imports


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Objects of other tests are collected again afterwards."""
    yield
    gc.unfreeze()


def test_models_are_built_when_they_are_used() -> None:
    with quick_imports():

        class Waiting(BaseModel):
            number: int

        assert not Waiting.__pydantic_complete__
    assert Waiting.model_validate({"number": "3"}).number == 3
    assert Waiting.model_json_schema()["required"] == ["number"]

    class Ordinary(BaseModel):
        number: int

    assert Ordinary.__pydantic_complete__


@pytest.mark.parametrize("before", [True, False])
def test_nothing_is_collected_meanwhile_and_what_there_is_then_stays(before: bool) -> None:
    collects = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        with pytest.raises(ImportError, match="collects: False"), quick_imports():
            raise ImportError(f"collects: {gc.isenabled()}")
        assert gc.isenabled() is before
        assert gc.get_freeze_count() > 0
        assert "defer_build" not in BaseModel.model_config
    finally:
        (gc.enable if collects else gc.disable)()
