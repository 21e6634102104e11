"""POST /classify and /classify/batch: admitted, read, computed, answered; plain ASGI."""

import asyncio
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import parse_qs

from pydantic_core import to_json

from service.access import Access
from service.admission import Admission, Ticket
from service.body import BodyLimits, describe_nothing, measure_announced, read_images
from service.budget import Budget
from service.classifier import DEFAULT_TOP_K, Classifier
from service.exchange import Answer, ClientGone, Exchange
from service.explanation import Wish, read_wish, refuse_wish
from service.inference import Classified, Inference
from service.lifecycle import Lifecycle
from service.metrics import STAGES, Metrics
from service.problems import (
    Problem,
    describe_missed_deadline,
    describe_problem,
    release_frames,
)
from service.scheduler import Job
from service.settings import LONGEST_DEADLINE_MS, Settings
from service.tracing import add_image, add_receive

UNTRAINED = "untrained: random weights, the labels mean nothing"
_TIME_HEADERS = {name: f"x-time-{name}-ms".encode() for name in (*STAGES, "total")}
_JSON = (b"content-type", b"application/json")


class Classify:
    """The two routes, bound to one application's parts."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        lifecycle: Lifecycle,
        inference: Inference,
        admission: Admission,
        budget: Budget,
        access: Access,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._inference = inference
        self._admission = admission
        self._budget = budget
        self._access = access

    async def answer_one(self, exchange: Exchange) -> Answer:
        """One image. Raises Problem, ClientGone."""
        (outcome,), timings = await self._classify(exchange, 1, is_batch=False)
        if isinstance(outcome, Problem):
            raise outcome
        assert isinstance(outcome, Classified)
        stages = {name: 1000 * seconds for name, seconds in outcome.seconds.items()}
        rounded = _round({"receive": timings["receive"], **stages, "total": timings["total"]})
        exchange.stages = rounded
        times = [(_TIME_HEADERS[name], b"%.3f" % value) for name, value in rounded.items()]
        if outcome.explanation is not None:
            headers = outcome.explanation.list_headers()
            return Answer(200, outcome.explanation.png, [*headers, *times])
        body = {
            "predictions": _describe_predictions(outcome),
            **self._describe_model(),
            "image": _describe_image(outcome),
            "timings_ms": rounded,
            "request_id": exchange.context.request_id,
        }
        return Answer(200, to_json(body), [_JSON, *times])

    async def answer_batch(self, exchange: Exchange) -> Answer:
        """Several images; each has its answer or its problem. Raises Problem, ClientGone."""
        most = self._settings.max_batch_images
        outcomes, timings = await self._classify(exchange, most, is_batch=True)
        results: list[dict[str, Any]] = []
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Problem):
                results.append({"index": index, "problem": describe_problem(outcome)})
            else:
                milliseconds = {name: 1000 * s for name, s in outcome.seconds.items()}
                results.append(
                    {
                        "index": index,
                        "predictions": _describe_predictions(outcome),
                        "image": _describe_image(outcome),
                        "timings_ms": _round(milliseconds),
                    }
                )
        body = {
            "results": results,
            **self._describe_model(),
            "timings_ms": _round(timings),
            "request_id": exchange.context.request_id,
        }
        return Answer(200, to_json(body), [_JSON])

    async def _classify(
        self, exchange: Exchange, most: int, is_batch: bool
    ) -> tuple[list[Classified | Problem], dict[str, float]]:
        """What became of each image, and milliseconds of the whole request by stage."""
        self._lifecycle.check_open()
        classifier = self._inference.classifier
        top_k = _read_top_k(exchange, len(classifier.manifest.labels))
        wish = _read_wish(exchange, classifier, is_batch)
        deadline = _read_deadline(exchange, self._settings.deadline_ms)
        limits = self._describe_limits()
        announced = measure_announced(exchange, limits.max_bytes)
        ticket = self._admission.admit(exchange.caller, announced, deadline)
        try:
            self._access.take(exchange.caller, 1)
            began = perf_counter()
            images = await read_images(exchange, limits, ticket, most)
            received = perf_counter() - began
            self._metrics.count_stage("receive", received)
            if exchange.is_recorded:
                add_receive(began, received, sum(map(len, images)))
            if len(images) > 1:
                self._access.take(exchange.caller, len(images) - 1, before=1)
            outcomes = await self._compute(exchange, ticket, images, top_k, deadline, wish)
        finally:
            ticket.close()
        total = perf_counter() - exchange.started
        return outcomes, {"receive": received * 1000, "total": total * 1000}

    async def _compute(
        self,
        exchange: Exchange,
        ticket: Ticket,
        images: list[bytes],
        top_k: int,
        deadline: float,
        wish: Wish | None,
    ) -> list[Classified | Problem]:
        costs = ticket.complete([len(image) for image in images])
        until = monotonic() + deadline
        jobs = [
            Job(image, top_k, exchange.caller, exchange.connection, cost, until, wish)
            for image, cost in zip(images, costs, strict=True)
        ]
        for job in jobs:
            if not job.data:
                job.done.set_exception(describe_nothing())
        scheduler = self._inference.scheduler
        loop = asyncio.get_running_loop()
        timer = loop.call_later(deadline, self._expire, jobs)
        try:
            for job in jobs:
                if not job.done.done():
                    scheduler.submit(job)
                    ticket.share()
                    job.on_left = ticket.close
            with exchange.watch_client(lambda: self._drop(jobs)):
                outcomes = [await self._take_outcome(job) for job in jobs]
        except BaseException:
            self._abandon(jobs)
            raise
        finally:
            timer.cancel()
        if exchange.is_recorded:
            for index, (job, outcome) in enumerate(zip(jobs, outcomes, strict=True)):
                add_image(index, job, outcome)
        return outcomes

    async def _take_outcome(self, job: Job) -> Classified | Problem:
        try:
            outcome: Classified = await job.done
        except Problem as problem:
            release_frames(problem)
            return problem
        for stage, seconds in outcome.seconds.items():
            self._metrics.count_stage(stage, seconds)
        self._metrics.count_unit(outcome.unit)
        return outcome

    def _abandon(self, jobs: list[Job]) -> None:
        """The request has ended without these: what has not begun never does."""
        for job in jobs:
            self._inference.scheduler.withdraw(job)
            if not job.done.cancel() and not job.done.cancelled():
                job.done.exception()  # nobody else looks at it

    def _drop(self, jobs: list[Job]) -> None:
        """The client has left: what has not begun never does, and no answer is waited for."""
        for job in jobs:
            if not job.done.done():
                self._metrics.count_dropped(self._inference.scheduler.withdraw(job))
                job.done.set_exception(ClientGone())

    def _expire(self, jobs: list[Job]) -> None:
        """The deadline has passed: what has not been computed is not waited for."""
        for job in jobs:
            if not job.done.done():
                self._inference.scheduler.withdraw(job)
                self._metrics.count_rejection("expired")
                job.done.set_exception(describe_missed_deadline())

    def _describe_limits(self) -> BodyLimits:
        settings = self._settings
        return BodyLimits(
            self._budget.limits.max_body_bytes,
            settings.body_idle_timeout_ms / 1000,
            settings.body_min_rate,
        )

    def _describe_model(self) -> dict[str, Any]:
        classifier = self._inference.classifier
        return {"model": describe_model(classifier), "engine": classifier.engine_name}


def describe_model(classifier: Classifier) -> dict[str, Any]:
    """What an answer says of the model: name, id, whether it was trained."""
    manifest = classifier.manifest
    return {
        "name": manifest.name,
        "id": classifier.model_id,
        "trained": manifest.trained,
        "notice": None if manifest.trained else UNTRAINED,
    }


def _describe_predictions(outcome: Classified) -> list[dict[str, Any]]:
    return [
        {"label": item.label, "index": item.index, "score": item.score}
        for item in outcome.predictions
    ]


def _describe_image(outcome: Classified) -> dict[str, Any]:
    picture = outcome.picture
    return {"format": picture.format, "width": picture.width, "height": picture.height}


def _round(milliseconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in milliseconds.items()}


def _read_top_k(exchange: Exchange, classes: int) -> int:
    """An explicit top_k above the number of classes is a mistake; the default adapts."""
    query: bytes = exchange.scope["query_string"]
    if not query:
        return min(DEFAULT_TOP_K, classes)
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("top_k")
    if values is None:
        return min(DEFAULT_TOP_K, classes)
    text = values[-1]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= classes):
        raise Problem(
            "invalid_parameter",
            f"top_k: expected a whole number from 1 to {classes}, the model's classes; found "
            "something else. Ask for fewer, or leave it out.",
        )
    return int(text)


def _read_wish(exchange: Exchange, classifier: Classifier, is_batch: bool) -> Wish | None:
    query: bytes = exchange.scope["query_string"]
    if not query:
        return None
    if is_batch:
        refuse_wish(query)
        return None
    return read_wish(query, classifier)


def _read_deadline(exchange: Exchange, default_ms: int) -> float:
    """Seconds that the answer may take, from the complete body on."""
    given = exchange.headers.get(b"x-deadline-ms")
    if given is None:
        return default_ms / 1000
    text = given.strip()
    if not (text.isdigit() and len(text) < 10 and 1 <= int(text) <= LONGEST_DEADLINE_MS):
        raise Problem(
            "invalid_parameter",
            f"X-Deadline-Ms: expected whole milliseconds from 1 to {LONGEST_DEADLINE_MS}; found "
            "something else.",
        )
    return int(text) / 1000
