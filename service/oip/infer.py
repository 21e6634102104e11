"""POST /v2/models/{model}/infer: admitted, read, inflated, parsed, computed, answered."""

import asyncio
from time import perf_counter

from service.messages.exchange import Answer, Exchange
from service.messages.problems import Problem
from service.oip.answers import encode_answer
from service.oip.compression import inflate, read_encoding
from service.oip.errors import refuse
from service.oip.models import Model
from service.oip.requests import (
    InferRequest,
    measure_json,
    parse_infer_request,
    read_header_length,
)
from service.oip.statistics import Statistics
from service.requests.body import measure_announced, read_body
from service.requests.intake import Intake
from service.settings.settings import MAX_DEADLINE_MS
from service.work.admission import Ticket
from service.work.inference import Classified

_QUICK_BYTES = 64 * 2**10  # of JSON; more is parsed in a thread


class Infer:
    """The route, for the components of one application."""

    def __init__(self, intake: Intake, statistics: Statistics) -> None:
        self._intake = intake
        self._statistics = statistics

    async def answer(self, exchange: Exchange, model: Model) -> Answer:
        """All images or a problem. Raises Problem, ClientGone."""
        try:
            request, classified = await self._infer(exchange, model)
        except Problem:
            self._statistics.count_failure(model, perf_counter() - exchange.started)
            raise
        exchange.stages = {  # of the slowest image in each
            stage: round(1000 * max(image.seconds[stage] for image in classified), 3)
            for stage in classified[0].seconds
        }
        began = perf_counter()
        answer = encode_answer(model, request, classified)
        ended = perf_counter()
        self._statistics.count_success(model, classified, ended - began, ended - exchange.started)
        return answer

    async def _infer(
        self, exchange: Exchange, model: Model
    ) -> tuple[InferRequest, list[Classified]]:
        deadline = self._intake.read_deadline(exchange)
        encoding = read_encoding(exchange.headers.get(b"content-encoding"))
        limits = self._intake.limits
        announced = measure_announced(exchange, limits.max_bytes)
        if encoding is not None:
            announced = None  # what it will be when it is inflated
        ticket = self._intake.admit(
            exchange, announced, deadline, model.served, not model.takes_files
        )
        try:
            began = perf_counter()
            body = await read_body(exchange, limits, ticket)
            if encoding is not None:
                body = await inflate(body, encoding, limits.max_bytes, ticket)
            request = await self._parse(exchange, body, model, ticket)
            del body
            self._intake.count_received(exchange, began, request.images)
            if request.timeout is not None:
                deadline = min(request.timeout, MAX_DEADLINE_MS / 1000)
            outcomes = await self._intake.compute(
                exchange, ticket, request.images, model.served, 1, deadline
            )
        except ArithmeticError as fault:
            if model.takes_files:
                raise
            raise refuse(
                "numbers as preprocessing makes them", "some that the network has no answer to"
            ) from fault
        finally:
            ticket.close()
        return request, [_check(outcome, index) for index, outcome in enumerate(outcomes)]

    async def _parse(
        self, exchange: Exchange, body: bytes, model: Model, ticket: Ticket
    ) -> InferRequest:
        header = exchange.headers.get(b"inference-header-content-length")
        header_length = read_header_length(header, len(body))
        arguments = (body, header_length, model, self._intake.most_images)
        json_bytes = len(body) if header_length is None else header_length
        if json_bytes:
            needed = 2 * len(body) + measure_json(memoryview(body)[:json_bytes])
            if needed > self._intake.body_memory:
                raise Problem(
                    "too_large",
                    "expected JSON that there is memory to parse; found more. Send the tensor as "
                    "binary data.",
                )
            ticket.reserve(needed)
        if json_bytes <= _QUICK_BYTES:
            return parse_infer_request(*arguments)
        return await asyncio.to_thread(parse_infer_request, *arguments)


def _check(outcome: Classified | Problem, index: int) -> Classified:
    """One image of the answer, which has all or none."""
    if isinstance(outcome, Problem):
        detail = f"image {index}: {outcome.detail}"
        raise Problem(outcome.code, detail, outcome.retry_after)
    return outcome
