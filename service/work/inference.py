"""The work on images: decoded one by one, computed together by their models."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter

import numpy as np
import numpy.typing as npt

from runtime import Engine, Hedged, InvalidImage, RuntimeFault, SelfTest
from service.classification.classifier import (
    Classifier,
    Prediction,
    Prepared,
    describe_unknown,
)
from service.classification.explanation import Explanation, explain, measure_explanation
from service.classification.predictor import Predictor
from service.classification.text_bodies import explain_text
from service.memory.budget import Budget, NoMemory
from service.messages.problems import (
    NO_MEMORY,
    Problem,
    describe_image_fault,
    describe_missed_deadline,
    release_frames,
)
from service.metrics.metrics import Metrics
from service.repository.catalogue import Catalogue
from service.repository.changes import Changes
from service.repository.served import ServedModel
from service.settings.settings import Settings
from service.work.lifecycle import Lifecycle
from service.work.scheduler import Job, Scheduler

_log = logging.getLogger(__name__)
# At the end, for a worker whose image nobody waits for any more: the grace time is over, or unused.
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class Classified:
    """A classified image: the best classes, what the image was, and seconds by stage."""

    predictions: list[Prediction]
    image: Prepared  # without its tensor
    seconds: dict[str, float]
    unit: int  # images that were computed together with it, itself included
    infer_began: float  # of time.perf_counter
    logits: npt.NDArray[np.float32]  # [logits], of all labels and perhaps of none
    known: float | None = None  # how likely it shows a label; None: the model cannot say
    notice: str | None = None  # what to know before believing the predictions
    explanation: Explanation | None = None  # where it was asked for
    hedged: Hedged | None = None  # where it was asked for


class Inference:
    """Owns the models and the workers.

    `start` loads in the background, so that the service can already say that it is alive and not
    ready; the lifecycle learns the result.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        lifecycle: Lifecycle,
        budget: Budget,
        engine: Engine | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._budget = budget
        fewer = settings.decode_threads < settings.workers
        self._decoders = threading.BoundedSemaphore(settings.decode_threads) if fewer else None
        self._given_engine = engine
        self._loading: asyncio.Task[None] | None = None
        self.predictor = Predictor()  # of the default model
        self.scheduler = Scheduler(settings.workers, self._compute)
        self.catalogue = Catalogue(lifecycle.check_started)
        self.changes = Changes(
            settings,
            metrics,
            budget,
            self.catalogue,
            self.predictor,
            self._heed_change,
            lambda: lifecycle.refuses_new,
        )
        lifecycle.watch(self.scheduler.longest_run)

    @property
    def classifier(self) -> Classifier:
        """The default model's warmed classifier. Raises Problem not_ready or no_engine."""
        return self.catalogue.default.classifier

    @property
    def self_test(self) -> SelfTest:
        """The result of its self-test. Raises Problem as `classifier` does."""
        return self.catalogue.default.self_test

    def start(self) -> None:
        """Begins to load and warm up the engine; returns at once."""
        self._loading = asyncio.create_task(self._load())

    async def wait(self) -> None:
        """Returns when loading is over; the lifecycle has the result."""
        if self._loading is not None:
            await self._loading

    async def close(self) -> None:
        """Refuses what waits, finishes what is being computed or loaded, and frees the models."""
        self._lifecycle.refuse_new()
        await self.wait()
        await self.scheduler.stop(_PATIENCE_SECONDS)
        self.catalogue.clear()
        self._given_engine = None

    # ---- a worker's side

    def _compute(
        self, jobs: Sequence[Job], is_alone: Callable[[], bool]
    ) -> list[Classified | BaseException]:
        """The result of each job: decoded alone, inferred together with others of its model."""
        by_model: dict[ServedModel, list[Job]] = {}
        for job in jobs:
            by_model.setdefault(job.model or self.catalogue.default, []).append(job)
        outcomes: dict[Job, Classified | BaseException] = {}
        for model, of_model in by_model.items():
            # As many as any model may have together: for this one perhaps too many.
            most = model.unit if self.catalogue.served > 1 else len(of_model)
            for start in range(0, len(of_model), most):
                unit = of_model[start : start + most]
                outcomes |= self._compute_together(model, unit, is_alone)
        return [outcomes[job] for job in jobs]

    def _compute_together(
        self, model: ServedModel, jobs: Sequence[Job], is_alone: Callable[[], bool]
    ) -> dict[Job, Classified | BaseException]:
        classifier = model.classifier
        began = monotonic()
        outcomes: dict[Job, Classified | BaseException] = {}
        prepared: dict[Job, Prepared] = {}
        for job in jobs:
            try:
                prepared[job] = job.context.run(self._prepare, classifier, job)
            except Problem as problem:
                release_frames(problem)
                outcomes[job] = problem
            except Exception as fault:
                outcomes[job] = fault
            if job.is_over:  # nobody waits for the rest
                prepared.pop(job, None)
                outcomes.setdefault(job, describe_missed_deadline())
        if prepared:
            threads = self._settings.threads if is_alone() else 1
            tensors = _join([image.tensor for image in prepared.values()])
            infer_began = perf_counter()
            try:
                logits, seconds = classifier.infer(tensors, threads)
            except Exception as fault:
                outcomes |= dict.fromkeys(prepared, fault)
            else:
                for row, (job, image) in zip(logits, prepared.items(), strict=True):
                    outcomes[job] = self._finish(
                        classifier, job, image, row, seconds, len(logits), infer_began
                    )
        each = (monotonic() - began - _sum_explaining(outcomes.values())) / len(jobs)
        for job in jobs:
            # Bytes that are no image are refused at once: they say nothing of those that are.
            if job in prepared or each > job.cost:
                model.predictor.learn(job.encoded_bytes, each)
        return outcomes

    @contextmanager
    def _hold(self, size: int, until: float) -> Iterator[None]:
        """The right to decode one image, which takes so many bytes; callers wait in line for it."""
        decoding = self._budget.decoding
        with self._decoders or nullcontext(), decoding.hold(size, until, or_all=True):
            yield

    def _prepare(self, classifier: Classifier, job: Job) -> Prepared:
        data = job.take_data()
        if not isinstance(data, bytes):
            _, height, width = data.shape
            return Prepared(data, "tensor", width, height, perf_counter(), 0.0, 0.0)
        try:
            return classifier.prepare(data, partial(self._hold, until=job.deadline))
        except InvalidImage as fault:
            problem = describe_image_fault(fault)
            text = explain_text(data) if problem.code == "unsupported_format" else None
            if text is not None:
                problem = Problem(problem.code, text)
            self._metrics.count_decode_failure(problem.code)
            raise problem from fault
        except TimeoutError as fault:  # there was no memory for it by its deadline
            raise describe_missed_deadline() from fault
        except MemoryError as fault:
            _log.exception("no memory to decode an image", extra={"bytes": len(data)})
            self._metrics.count_decode_failure("out_of_memory")
            raise Problem("out_of_memory", NO_MEMORY) from fault

    def _finish(
        self,
        classifier: Classifier,
        job: Job,
        image: Prepared,
        logits: npt.NDArray[np.float32],
        seconds: float,
        unit: int,
        infer_began: float,
    ) -> Classified | Exception:
        stages = {
            "queue": job.began - job.queued,
            "decode": image.decode_seconds,
            "preprocess": image.preprocess_seconds,
            "infer": seconds,
        }
        explanation = None
        try:
            predictions = classifier.rank(logits, job.top_k)
            known = classifier.estimate_known(logits)
            hedged = None if job.level is None else classifier.hedge(logits, job.level)
            if job.wish is not None:
                if job.is_over:
                    return describe_missed_deadline()
                explaining = perf_counter()
                with self._hold(measure_explanation(classifier), job.deadline):
                    explanation = explain(classifier, image.tensor, logits, job.wish)
                stages["explain"] = perf_counter() - explaining
        except TimeoutError:  # there was no memory for it by its deadline
            return describe_missed_deadline()
        except Exception as fault:  # of this image alone, not of its unit
            return fault
        image = image.without_tensor()
        return Classified(
            *(predictions, image, stages, unit, infer_began, logits),
            *(known, describe_unknown(classifier.manifest, known), explanation, hedged),
        )

    # ---- loading

    async def _load(self) -> None:
        fault: str | None = None
        try:
            await self.changes.start(self._given_engine)
        except (RuntimeFault, NoMemory) as error:
            fault = str(error)
            _log.error("the model cannot be served", extra={"reason": fault})
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            _log.exception("loading the model failed unexpectedly")
        if fault is None:
            self._lifecycle.finish_start()
        else:
            self._lifecycle.fail_start(fault)

    def _heed_change(self) -> None:
        """The models have changed."""
        self.scheduler.unit = max(model.unit for model in self.catalogue.list())


def _sum_explaining(outcomes: Iterable[Classified | BaseException]) -> float:
    """Seconds that images took for explanations: they do not predict those of others."""
    return sum(
        outcome.seconds.get("explain", 0.0)
        for outcome in outcomes
        if isinstance(outcome, Classified)
    )


def _join(tensors: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Tensors [3, H, W] as one [N, 3, H, W]; a single one is not copied."""
    return tensors[0][np.newaxis] if len(tensors) == 1 else np.stack(tensors)
