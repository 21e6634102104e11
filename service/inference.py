"""The model's life inside the service: loading and warming, then classifying off the event loop."""

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from runtime import Engine, InvalidImage, RuntimeFault, load_engine
from service.classifier import Classifier, Prediction, Prepared
from service.metrics import Metrics
from service.problems import Problem, describe_image_fault
from service.settings import Settings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
NO_MEMORY = "expected memory to decode the picture; there is none left. Try later, or shrink it."


@dataclass(frozen=True)
class Answer:
    """A classified picture: the best classes, what the picture was, and seconds by stage."""

    predictions: list[Prediction]
    picture: Prepared
    seconds: dict[str, float]


class Inference:
    """Owns the engine and two thread pools: one that decodes pictures, one that infers.

    `start` loads in the background, so that the service can say that it lives and is not ready;
    if loading fails, `fault` says why and `on_fault` is called.
    """

    def __init__(self, settings: Settings, metrics: Metrics, engine: Engine | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._given_engine = engine
        self._classifier: Classifier | None = None
        self._loading: asyncio.Task[None] | None = None
        self._decoders = ThreadPoolExecutor(settings.decode_threads, "bnn-decode")
        self._inferrer = ThreadPoolExecutor(1, "bnn-infer")
        self.fault: str | None = None
        self.on_fault: Callable[[], None] = lambda: None

    @property
    def classifier(self) -> Classifier:
        """The warmed classifier; raises Problem not_ready or no_engine."""
        if self._classifier is None:
            if self.fault is None:
                raise Problem("not_ready", "expected a loaded model; it is on its way. Try again.")
            raise Problem(
                "no_engine", "expected a loaded model; loading failed. The service's log says why."
            )
        return self._classifier

    def start(self) -> None:
        """Begins to load and warm the engine; returns at once."""
        self._loading = asyncio.create_task(self._load())

    async def wait(self) -> None:
        """Returns when loading is over; see `fault`."""
        if self._loading is not None:
            await self._loading

    async def close(self) -> None:
        """Waits for what is being computed, drops what waits, ends the threads."""
        await self.wait()
        for pool in (self._decoders, self._inferrer):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    async def classify(self, data: bytes, top_k: int) -> Answer:
        """Classifies one picture. Raises Problem."""
        classifier = self.classifier
        try:
            picture = await self._run(self._decoders, lambda: classifier.prepare(data))
        except InvalidImage as fault:
            problem = describe_image_fault(fault)
            self._metrics.count_decode_failure(problem.code)
            raise problem from fault
        except MemoryError as fault:
            _log.exception("no memory to decode a picture", extra={"bytes": len(data)})
            self._metrics.count_decode_failure("out_of_memory")
            raise Problem("out_of_memory", NO_MEMORY) from fault
        logits, seconds = await self._run(self._inferrer, lambda: classifier.infer(picture.tensor))
        stages = {
            "decode": picture.decode_seconds,
            "preprocess": picture.preprocess_seconds,
            "infer": seconds,
        }
        for stage, value in stages.items():
            self._metrics.count_stage(stage, value)
        return Answer(classifier.rank(logits, top_k), picture, stages)

    async def _load(self) -> None:
        try:
            await self._load_and_warm()
        except RuntimeFault as fault:
            self.fault = str(fault)
            _log.error("the model cannot be served", extra={"reason": self.fault})
        except Exception as fault:
            self.fault = f"{type(fault).__name__}: {fault}"
            _log.exception("loading the model failed unexpectedly")
        if self.fault is not None:
            self.on_fault()

    async def _load_and_warm(self) -> None:
        started = perf_counter()
        engine = await self._run(self._inferrer, self._choose_engine)
        loaded = perf_counter()
        classifier = Classifier(engine, self._settings.image_limits)
        await self._run(self._inferrer, classifier.warm_up)
        warm = perf_counter()
        self._metrics.describe_start("load", loaded - started)
        self._metrics.describe_start("warm_up", warm - loaded)
        self._metrics.describe_engine(engine, classifier.model_id)
        if engine.skipped:
            _log.warning(
                "fell back to %s/%s",
                engine.name,
                engine.implementation,
                extra={"skipped": {item.name: item.reason for item in engine.skipped}},
            )
        if not classifier.manifest.trained:
            _log.warning("the model is untrained: its labels mean nothing")
        _log.info(
            "ready",
            extra={
                "model": classifier.manifest.name,
                "model_id": classifier.model_id,
                "trained": classifier.manifest.trained,
                "engine": f"{engine.name}/{engine.implementation}",
                "threads": self._settings.threads,
                "load_ms": round((loaded - started) * 1000, 1),
                "warm_up_ms": round((warm - loaded) * 1000, 1),
            },
        )
        self._classifier = classifier

    def _choose_engine(self) -> Engine:
        settings = self._settings
        if self._given_engine is not None:
            return self._given_engine
        return load_engine(settings.bundle, settings.engine, settings.threads)

    @staticmethod
    async def _run(pool: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        """Runs `work` on a thread of the pool, with this task's logging context."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(pool, context.run, work)
