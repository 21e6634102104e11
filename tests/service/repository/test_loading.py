"""service.repository.loading: from a bundle to a model that is warm and tested."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import service.repository.loading
from runtime import BundleError, Manifest, WrongAnswer, load_engine, run_self_test, stamp_bundle
from service.memory.budget import NoMemory
from service.repository.loading import load_model
from tests.service.servers import make_settings


def test_a_bundle(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b", labels=("a", "b", "c"))
    model = load_model(folder, make_settings(engine="onnx"), "birds")
    assert (model.name, model.engine.name) == ("birds", "onnx")
    assert model.classifier.manifest.labels == ("a", "b", "c")
    assert (model.folder, model.stamp) == (folder, stamp_bundle(folder))
    assert model.self_test.verdict == "absent"
    assert model.kept_bytes > 0
    assert model.load_seconds > 0
    assert model.warm_up_seconds > 0
    assert model.predictor.predict(50_000) != type(model.predictor)().predict(50_000)


def test_an_engine_of_this_process(make_engine: Any) -> None:
    model = load_model(make_engine(), make_settings())
    assert (model.name, model.folder, model.stamp) == ("tiny", None, b"")


def test_a_bundle_is_loaded_inside_what_admits_it(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_bundle(tmp_path / "b")
    steps = []

    @contextmanager
    def admit(manifest: Manifest) -> Iterator[None]:
        steps.append(manifest.name)
        yield
        steps.append("left")

    def load(*arguments: Any) -> Any:
        steps.append("loaded")
        return load_engine(*arguments)

    monkeypatch.setattr(service.repository.loading, "load_engine", load)
    load_model(folder, make_settings(engine="onnx"), admit=admit)
    assert steps == ["tiny", "loaded", "left"]


def test_a_bundle_that_is_not_admitted(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Manifest) -> Any:
        raise NoMemory("expected more memory")

    monkeypatch.setattr(service.repository.loading, "load_engine", None)  # is not called
    with pytest.raises(NoMemory):
        load_model(make_bundle(tmp_path / "b"), make_settings(engine="onnx"), admit=refuse)


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        load_model(tmp_path, make_settings(), "birds")


def test_an_engine_that_answers_wrongly(make_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(engine: Any) -> Any:
        return replace(run_self_test(engine), verdict="failed", reason="expected 1; found 2")

    monkeypatch.setattr(service.repository.loading, "run_self_test", fail)
    with pytest.raises(WrongAnswer, match="found 2"):
        load_model(make_engine(), make_settings())
