"""service.repository.loading: from a bundle to a model that is warm and tested."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import service.repository.loading
from runtime import BundleError, ImageLimits, WrongAnswer, run_self_test, stamp_bundle
from service.repository.loading import load_model
from tests.service.servers import make_settings


def test_a_bundle(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b", labels=("a", "b", "c"))
    limits = ImageLimits(max_pixels=999)
    model = load_model(folder, make_settings(engine="onnx"), "birds", limits)
    assert (model.name, model.engine.name) == ("birds", "onnx")
    assert model.classifier.manifest.labels == ("a", "b", "c")
    assert model.classifier.limits == limits
    assert (model.folder, model.stamp) == (folder, stamp_bundle(folder))
    assert model.self_test.verdict == "absent"
    assert model.kept_bytes > 0
    assert model.load_seconds > 0
    assert model.warm_up_seconds > 0
    assert model.predictor.predict(50_000) != type(model.predictor)().predict(50_000)


def test_an_engine_of_this_process(make_engine: Any) -> None:
    model = load_model(make_engine(), make_settings())
    assert (model.name, model.folder, model.stamp) == ("tiny", None, b"")


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        load_model(tmp_path, make_settings(), "birds")


def test_an_engine_that_answers_wrongly(make_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(engine: Any) -> Any:
        return replace(run_self_test(engine), verdict="failed", reason="expected 1; found 2")

    monkeypatch.setattr(service.repository.loading, "run_self_test", fail)
    with pytest.raises(WrongAnswer, match="found 2"):
        load_model(make_engine(), make_settings())
