"""Loads a model: its engine, the warm-up, the self-test; takes seconds, for a thread of its own."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from runtime import (
    Engine,
    ImageLimits,
    WrongAnswer,
    estimate_kept_bytes,
    load_engine,
    run_self_test,
    stamp_bundle,
)
from service.classification.classifier import Classifier
from service.classification.predictor import Predictor
from service.classification.warm_up import warm_up
from service.repository.served import ServedModel
from service.settings.settings import Settings


def load_model(
    source: Path | Engine,
    settings: Settings,
    name: str | None = None,
    limits: ImageLimits | None = None,
) -> ServedModel:
    """The model of a bundle, or of an engine that is loaded, warm and tested.

    Its name is `name`; None: the one that its manifest has. `limits` bind what requests bring.

    Raises:
        RuntimeFault: the bundle can't be read, no engine can run it, or it answers wrongly.
        MemoryError: there is no memory for it.
    """
    started = perf_counter()
    folder = source if isinstance(source, Path) else None
    stamp = b"" if folder is None else stamp_bundle(folder) or b""  # before: it may change now
    engine: Engine
    if isinstance(source, Path):
        engine = load_engine(source, settings.engine, settings.threads)
    else:
        engine = source
    loaded = perf_counter()
    unlimited = Classifier(engine, ImageLimits())  # a caller's limits do not bind the warm-up
    predictor = Predictor()
    found = warm_up(unlimited, settings.threads, predictor)
    self_test = run_self_test(engine)
    if self_test.verdict == "failed":
        raise WrongAnswer(self_test.reason)
    return ServedModel(
        name=name or engine.bundle.manifest.name,
        classifier=unlimited if limits is None else unlimited.with_limits(limits),
        self_test=self_test,
        predictor=predictor,
        unit=found.unit,
        folder=folder,
        stamp=stamp,
        kept_bytes=estimate_kept_bytes(engine.bundle.manifest, engine.name, engine.workspace_bytes),
        load_seconds=loaded - started,
        warm_up_seconds=perf_counter() - loaded,
    )
