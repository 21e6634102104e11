"""The steps of all routes with images: admission, computing together, waiting."""

import asyncio
from collections.abc import Sequence
from time import monotonic, perf_counter

import numpy as np

from runtime import Level
from service.access.access import Access
from service.classification.explanation import Wish
from service.memory.budget import Budget
from service.messages.exchange import ClientGone, Exchange
from service.messages.problems import Problem, describe_missed_deadline, release_frames
from service.metrics.metrics import Metrics
from service.repository.served import ServedModel
from service.requests.body import BodyLimits, describe_nothing
from service.requests.tracing import add_image, add_receive
from service.settings.settings import MAX_DEADLINE_MS, Settings
from service.work.admission import Admission, Ticket
from service.work.inference import Classified, Inference
from service.work.scheduler import Data, Job


class Intake:
    """The steps that routes share, for the components of one application."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        inference: Inference,
        admission: Admission,
        budget: Budget,
        access: Access,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._inference = inference
        self._admission = admission
        self._budget = budget
        self._access = access

    @property
    def limits(self) -> BodyLimits:
        """The limits of a body that the memory budget allows."""
        settings = self._settings
        return BodyLimits(
            self._budget.limits.max_body_bytes,
            settings.body_idle_timeout_ms / 1000,
            settings.body_min_rate,
        )

    @property
    def most_images(self) -> int:
        """Max images in one request."""
        return self._settings.max_batch_images

    @property
    def body_memory(self) -> int:
        """Max bytes of all bodies together."""
        return self._admission.bodies.capacity

    def read_deadline(self, exchange: Exchange) -> float:
        """Max seconds from the complete body to the answer. Raises Problem invalid_parameter."""
        given = exchange.headers.get(b"x-deadline-ms")
        if given is None:
            return self._settings.deadline_ms / 1000
        text = given.strip()
        if not (text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_DEADLINE_MS):
            raise Problem(
                "invalid_parameter",
                f"X-Deadline-Ms: expected whole milliseconds from 1 to {MAX_DEADLINE_MS}; "
                "found something else.",
            )
        return int(text) / 1000

    def admit(
        self,
        exchange: Exchange,
        announced: int | None,
        deadline: float,
        model: ServedModel,
        are_tensors: bool = False,
    ) -> Ticket:
        """Admits the request as one image; the ticket must be closed.

        Raises Problem overloaded, rate_limited.
        """
        ticket = self._admission.admit(
            exchange.caller, announced, deadline, are_tensors, model.predictor
        )
        try:
            self._access.take(exchange.caller, 1)
        except BaseException:
            ticket.close()
            raise
        return ticket

    def count_received(self, exchange: Exchange, began: float, images: Sequence[Data]) -> float:
        """Notes that the body is complete; the seconds since `began` (of time.perf_counter).

        Images beyond the first are counted against the caller's rate. Raises Problem rate_limited.
        """
        received = perf_counter() - began
        self._metrics.count_stage("receive", received)
        if exchange.is_recorded:
            add_receive(began, received, sum(map(_measure, images)))
        if len(images) > 1:
            self._access.take(exchange.caller, len(images) - 1, before=1)
        return received

    async def compute(
        self,
        exchange: Exchange,
        ticket: Ticket,
        images: Sequence[Data],
        model: ServedModel,
        top_k: int,
        deadline: float,
        wish: Wish | None = None,
        level: Level | None = None,
    ) -> list[Classified | Problem]:
        """The model's result for each image within `deadline` seconds, explained, hedged if wanted.

        An image that the caller no longer holds is freed as soon as it is decoded.

        Raises:
            Problem: overloaded, draining.
            ClientGone: the client left.
            ArithmeticError: the network answered with NaN or infinity.
        """
        are_tensors = isinstance(images[0], np.ndarray)
        costs = ticket.complete([_measure(image) for image in images], are_tensors)
        until = monotonic() + deadline
        jobs = [
            Job(image, top_k, exchange.caller, exchange.connection, cost, until, wish, model, level)
            for image, cost in zip(images, costs, strict=True)
        ]
        del images
        for job in jobs:
            if not are_tensors and not job.encoded_bytes:
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
        if job.model is not None:
            self._metrics.count_classified(job.model.name)
            if outcome.known is not None:
                self._metrics.count_known(job.model.name, outcome.notice is None)
        return outcome

    def _abandon(self, jobs: list[Job]) -> None:
        """The request has ended without these images: those that have not begun are dropped."""
        for job in jobs:
            self._inference.scheduler.withdraw(job)
            if not job.done.cancel() and not job.done.cancelled():
                job.done.exception()  # nobody else looks at it

    def _drop(self, jobs: list[Job]) -> None:
        """The client has left: images that have not begun are dropped, without an answer."""
        for job in jobs:
            if not job.done.done():
                self._metrics.count_dropped(self._inference.scheduler.withdraw(job))
                job.done.set_exception(ClientGone())

    def _expire(self, jobs: list[Job]) -> None:
        """The deadline has passed: images that are not computed are no longer waited for."""
        for job in jobs:
            if not job.done.done():
                self._inference.scheduler.withdraw(job)
                self._metrics.count_rejection("expired")
                job.done.set_exception(describe_missed_deadline())


def _measure(image: Data) -> int:
    return len(image) if isinstance(image, bytes) else image.nbytes
