"""Loads, swaps and unloads models while others answer: one change at a time, never half done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic, process_time

from runtime import (
    Engine,
    Manifest,
    RuntimeFault,
    estimate_kept_bytes,
    estimate_load_bytes,
    stamp_bundle,
    trim_memory,
)
from service.classification.predictor import Predictor
from service.memory.budget import Budget, NoMemory
from service.messages.problems import Problem
from service.metrics.metrics import Metrics
from service.repository.catalogue import Catalogue
from service.repository.folders import Found, find_models, name_default
from service.repository.loading import load_model
from service.repository.names import list_names
from service.repository.report import Report
from service.repository.served import ServedModel
from service.settings.settings import Settings

_log = logging.getLogger(__name__)
_MIB = 2**20
_WAIT_SECONDS = 30.0  # for memory that images which are being decoded have


class NameTaken(Exception):
    """Another model has the name already."""


_FAULTS = (RuntimeFault, NoMemory, NameTaken, MemoryError, OSError)  # of a bundle or a machine


class Changes:
    """The changes of a catalogue's models. To be called on the event loop.

    A model is loaded beside those that answer, and takes over its name when it is warm. Requests
    keep the model that they began with; it is freed with the last of them. If a bundle can't be
    served, nothing changes. `heed` is called after each change. Once `is_ending` is true, no more
    models are loaded.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        budget: Budget,
        catalogue: Catalogue,
        predictor: Predictor,
        heed: Callable[[], None],
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._budget = budget
        self._catalogue = catalogue
        self._predictor = predictor  # of the default model, whichever it is
        self._heed = heed
        self._is_ending = is_ending
        self._turn = asyncio.Lock()

    async def start(self, engine: Engine | None) -> None:
        """Loads the default model, or uses `engine` for it, then all models of the directory.

        Raises RuntimeFault or NoMemory if the default model can't be served. Faults of the others
        are in the log and in the catalogue.
        """
        settings = self._settings
        async with self._turn:
            name = name_default(settings)
            source = settings.bundle if engine is None else engine
            model = await asyncio.to_thread(load_model, source, settings, name)
            has_more = settings.models is not None
            self._budget.settle(model.input_pixels, is_final=not has_more)
            self._put_default(model)
            if has_more:
                report = await self._follow_directory()
                if self._is_ending():
                    return
                self._settle_all(report)
                report.log("models read")
            self._describe_start()

    async def reload(self) -> Report:
        """Loads the directory and the default bundle as they are now. Raises nothing."""
        async with self._turn:
            report = Report()
            if not self._catalogue.served:  # the start has failed
                return report
            default = self._catalogue.default
            if default.folder is not None:
                await self._renew(default, default.name, default.folder, report)
            report.add(await self._follow_directory())
            report.log("models read again")
            return report

    async def load(self, name: str) -> None:
        """Loads a model of the directory, or the default one, again.

        Raises Problem model_not_found, model_not_loaded, draining.
        """
        async with self._turn:
            if self._is_ending():
                raise Problem(
                    "draining", "expected a running service; it is being stopped. Ask another one."
                )
            default = self._catalogue.default
            folder = default.folder if name == default.name else None
            fault: str | None = None
            if folder is None:
                found = await self._find()
                if found is None:
                    raise Problem(
                        "model_not_loaded",
                        "expected a directory of models that can be read; found another. The "
                        "service's log says why.",
                    )
                folder, fault = found.folders.get(name), found.faults.get(name)
            if folder is None and fault is None:
                raise Problem(
                    "model_not_found",
                    "expected the name of a folder in BNN_MODELS, or of the default model; found "
                    "another. POST /v2/repository/index lists those that are served.",
                )
            if folder is not None:
                fault = await self._bring(self._catalogue.get(name), name, folder)
            elif fault is not None:
                self._note_fault(name, fault)
            if fault is not None:
                raise Problem(
                    "model_not_loaded", f"{fault} The models served before are still served."
                )

    async def unload(self, name: str) -> None:
        """Stops serving a model until it is loaded again, or the directory is read again.

        Raises Problem model_not_found, model_not_loaded.
        """
        async with self._turn:
            if name == self._catalogue.default.name:
                raise Problem(
                    "model_not_loaded",
                    "expected another model than the default one, which cannot be unloaded; found "
                    "it. Set BNN_BUNDLE to serve another one.",
                )
            if self._catalogue.get(name) is None:
                self._catalogue.find(name)
            self._unload(name)

    # ---- steps, each with the turn

    async def _find(self) -> Found | None:
        """The content of the directory; None, and a log line: it can't be read."""
        try:
            return await asyncio.to_thread(find_models, self._settings.models)
        except OSError as error:
            fault = f"expected a directory of models that can be read; found {error.strerror}"
            _log.error("the models stay as they were", extra={"reason": fault})
            return None

    async def _follow_directory(self) -> Report:
        """Loads new and changed models, unloads those that are gone."""
        report = Report()
        found = await self._find()
        if found is None:  # nothing is known of it: the models stay
            return report
        default, in_directory = self._catalogue.default.name, name_default(self._settings)
        self._catalogue.faults = {
            name: why
            for name, why in self._catalogue.faults.items()
            if name in found.folders or name == default
        }
        for name, why in found.faults.items():
            if name != in_directory:  # the default one, which has been looked at
                self._note_fault(name, why)
                report.failed.append(name)
        there = found.folders.keys() | found.faults.keys()  # a broken one leaves the old one
        for name in self._catalogue.names - there - {default}:
            self._unload(name)
            report.unloaded.append(name)
        for name, folder in found.folders.items():
            if self._is_ending():
                break
            if name == in_directory:
                continue
            served = self._catalogue.get(name)
            if served is not None and served is self._catalogue.default:
                served = None  # of a bundle elsewhere: the name is taken
            await self._renew(served, name, folder, report)
        return report

    async def _renew(
        self, served: ServedModel | None, name: str, folder: Path, report: Report
    ) -> None:
        """Loads a model unless its bundle is unchanged."""
        stamp = await asyncio.to_thread(stamp_bundle, folder)
        if served is not None and stamp == served.stamp:
            self._catalogue.faults.pop(name, None)  # of another bundle that was there meanwhile
            report.unchanged.append(name)
        elif await self._bring(served, name, folder) is None:
            report.loaded.append(name)
        else:
            report.failed.append(name)

    async def _bring(self, served: ServedModel | None, name: str, folder: Path) -> str | None:
        """Loads a model and serves it in place of `served`; the fault, or None."""
        is_default = served is not None and served is self._catalogue.default
        # A default bundle that stands for itself may be another network now, and has its name.
        wanted = name_default(self._settings) if is_default else name
        try:
            admit = partial(self._admit, served)
            model = await asyncio.to_thread(load_model, folder, self._settings, wanted, admit=admit)
            self._swap(served, model)
        except _FAULTS as error:
            fault = str(error) or "expected memory for the model; none is left."
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            _log.exception("loading a model failed unexpectedly", extra={"model": name})
        else:
            return None
        self._note_fault(name, fault)
        return fault

    @contextmanager
    def _admit(self, served: ServedModel | None, manifest: Manifest) -> Iterator[None]:
        """Holds the memory for loading a model, taken from that for images. Runs in a thread.

        What the model keeps, in place of `served`, must fit in, too. Raises NoMemory.
        """
        need = estimate_load_bytes(manifest, self._settings.engine)
        kept = estimate_kept_bytes(manifest, self._settings.engine)
        _, height, width = manifest.input
        self._budget.check_change(*self._plan_change(served, kept, height * width))
        decoding = self._budget.decoding
        if need > decoding.capacity:
            raise NoMemory(
                f"expected about {need / _MIB:.0f} MiB of memory to load the model beside those "
                f"that are served; found {decoding.capacity / _MIB:.0f} MiB "
                f"({self._budget.origin}). Give the service more memory, or unload a model."
            )
        with ExitStack() as held:
            try:
                held.enter_context(decoding.hold(need, monotonic() + _WAIT_SECONDS))
            except TimeoutError as error:
                raise NoMemory(
                    f"expected about {need / _MIB:.0f} MiB of memory within {_WAIT_SECONDS:.0f} s; "
                    "found it used by requests. Try again when there are fewer."
                ) from error
            yield

    def _plan_change(
        self, before: ServedModel | None, kept_bytes: int, input_pixels: int
    ) -> tuple[int, int]:
        """The change of the budget if a model replaces `before`: bytes more, pixels of an input."""
        others = (model.input_pixels for model in self._catalogue.list() if model is not before)
        by = kept_bytes - (before.kept_bytes if before else 0)
        return by, max([input_pixels, *others])

    def _swap(self, before: ServedModel | None, model: ServedModel) -> None:
        """Serves `model` in place of `before`. Raises NoMemory, NameTaken: nothing is changed."""
        catalogue = self._catalogue
        others = [other for other in catalogue.list() if other is not before]
        if any(set(list_names(model.name)) & set(list_names(other.name)) for other in others):
            raise NameTaken(
                f"expected a name that no other model has; found {model.name}. Rename the folder, "
                "or the bundle."
            )
        self._budget.change(*self._plan_change(before, model.kept_bytes, model.input_pixels))
        if before is not None and before is catalogue.default:
            self._put_default(model)
        else:
            predictor = before.predictor if before else model.predictor
            catalogue.put(replace(model, predictor=predictor))
        self._finish("loaded")
        extra = {
            "model": model.name,
            "model_id": model.classifier.model_id,
            "engine": model.classifier.engine_name,
            "self_test": model.self_test.verdict,
            "load_ms": round(model.load_seconds * 1000, 1),
            "warm_up_ms": round(model.warm_up_seconds * 1000, 1),
        }
        if before is not None:
            extra["replaces"] = before.classifier.model_id
        _log.info("a model is served", extra=extra)
        warn_of(model)

    def _unload(self, name: str) -> None:
        removed = self._catalogue.remove(name)
        self._budget.change(-removed.kept_bytes, self._find_pixels())
        self._finish("unloaded")
        _log.info("a model is no longer served", extra={"model": name})

    def _settle_all(self, report: Report) -> None:
        """Measures the memory of all models, now that they are loaded, and stops planning it.

        If they are too many, the last ones are unloaded. The default model stays: memory that
        others took while they failed to load does not end the service.
        """
        while True:
            try:
                self._budget.settle(self._find_pixels(), is_final=True)
                break
            except NoMemory as error:
                _, *others = self._catalogue.list()
                if not others:
                    _log.warning(
                        "the process takes more memory than planned: models that are not served "
                        "took it while they were loaded",
                        extra={"reason": str(error)},
                    )
                    self._budget.report()
                    break
                name = others[-1].name
                self._unload(name)
                del others
                trim_memory()
                self._note_fault(name, str(error))
                report.loaded.remove(name)
                report.failed.append(name)
        self._catalogue.limit(self._budget.limits.images)

    def _finish(self, result: str) -> None:
        self._catalogue.limit(self._budget.limits.images)
        self._metrics.count_model_change(result)
        self._heed()

    def _put_default(self, model: ServedModel) -> None:
        """Makes a model the default one; it keeps the predictor that admission uses."""
        if not self._catalogue.served:
            self._predictor.take_over(model.predictor)
        limited = model.classifier.with_limits(self._budget.limits.images)
        model = replace(model, predictor=self._predictor, classifier=limited)
        self._catalogue.put(model, is_default=True)
        self._metrics.describe_engine(model.engine, model.classifier.model_id)
        self._heed()

    def _note_fault(self, name: str, fault: str) -> None:
        self._catalogue.faults[name] = fault
        self._metrics.count_model_change("failed")
        extra = {"model": name, "reason": fault, "still_served": name in self._catalogue.names}
        _log.error("a model cannot be served", extra=extra)

    def _find_pixels(self) -> int:
        return max(model.input_pixels for model in self._catalogue.list())

    def _describe_start(self) -> None:
        model = self._catalogue.default
        manifest = model.classifier.manifest
        self._metrics.describe_start("load", model.load_seconds)
        self._metrics.describe_start("warm_up", model.warm_up_seconds)
        warn_of(model)
        _log.info(
            "ready",
            extra={
                "model": model.name,
                "model_id": model.classifier.model_id,
                "trained": manifest.trained,
                "engine": model.classifier.engine_name,
                "workers": self._settings.workers,
                "threads": self._settings.threads,
                "images_together": model.unit,
                "self_test": model.self_test.verdict,
                "models": self._catalogue.served,
                "load_ms": round(model.load_seconds * 1000, 1),
                "warm_up_ms": round(model.warm_up_seconds * 1000, 1),
                "cpu_ms": round(process_time() * 1000, 1),
            },
        )


def warn_of(model: ServedModel) -> None:
    """Logs warnings about a model before its answers are used."""
    engine = model.engine
    broken = {item.name: item.reason for item in engine.skipped if item.cause == "failed"}
    if broken:
        _log.warning(
            "fell back to %s/%s", engine.name, engine.implementation, extra={"skipped": broken}
        )
    if not model.classifier.manifest.trained:
        _log.warning("the model is untrained: its labels mean nothing", extra={"model": model.name})
