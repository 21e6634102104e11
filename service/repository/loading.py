"""Loads a model: its engine, the warm-up, the self-test; takes seconds, for a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from runtime import (
    Engine,
    ImageLimits,
    Manifest,
    WrongAnswer,
    estimate_kept_bytes,
    load_engine,
    read_bundle,
    run_self_test,
    stamp_bundle,
)
from service.classification.classifier import Classifier
from service.classification.predictor import Predictor
from service.classification.warm_up import warm_up
from service.repository.served import ServedModel
from service.settings.settings import Settings

Admit = Callable[[Manifest], AbstractContextManager[None]]


def load_model(
    source: Path | Engine,
    settings: Settings,
    name: str | None = None,
    admit: Admit | None = None,
) -> ServedModel:
    """The model of a bundle, or of an engine that is loaded, warm and tested.

    Its name is `name`; None: the one in its manifest. A bundle is read once, and then loaded inside
    `admit(manifest)`, which may refuse it.

    Raises:
        RuntimeFault: the bundle can't be read, no engine can run it, or it answers wrongly.
        MemoryError: there is no memory for it.
    """
    if not isinstance(source, Path):
        return _warm(source, settings, name)
    started = perf_counter()
    stamp = stamp_bundle(source) or b""  # before: it may change now
    bundle = read_bundle(source)
    read_seconds = perf_counter() - started
    with nullcontext() if admit is None else admit(bundle.manifest):
        began = perf_counter()
        engine = load_engine(bundle, settings.engine, settings.threads)
        load_seconds = read_seconds + perf_counter() - began
        model = _warm(engine, settings, name)
    return replace(model, folder=source, stamp=stamp, load_seconds=load_seconds)


def _warm(engine: Engine, settings: Settings, name: str | None) -> ServedModel:
    """The model of a loaded engine, after its warm-up and its self-test."""
    loaded = perf_counter()
    classifier = Classifier(engine, ImageLimits())  # the budget sets other limits later
    predictor = Predictor()
    found = warm_up(classifier, settings.threads, predictor)
    self_test = run_self_test(engine)
    if self_test.verdict == "failed":
        raise WrongAnswer(self_test.reason)
    return ServedModel(
        name=name or engine.bundle.manifest.name,
        classifier=classifier,
        self_test=self_test,
        predictor=predictor,
        unit=found.unit,
        kept_bytes=estimate_kept_bytes(engine.bundle.manifest, engine.name, engine.workspace_bytes),
        warm_up_seconds=perf_counter() - loaded,
    )
