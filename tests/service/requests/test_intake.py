"""service.requests.intake: files and tensors of one request through the same workers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from service.messages.exchange import Exchange
from service.messages.problems import Problem
from service.requests.intake import Intake
from service.settings.settings import Settings
from service.work.inference import Classified

pytestmark = pytest.mark.anyio
TENSOR = np.full((3, 32, 32), [[[0.0]], [[1.0]], [[0.5]]], np.float32)


@pytest.fixture
async def parts(connect: Any) -> AsyncIterator[Any]:
    """The application of a client, with an intake of its own."""
    async with connect(Settings(max_batch_images=3)) as client:
        state = client.app.state
        intake = Intake(
            *(Settings(max_batch_images=3), state.metrics, state.inference, state.admission),
            *(state.budget, state.access),
        )
        yield state, intake


def make_exchange(**headers: str) -> Exchange:
    """A request whose whole body has come."""

    async def receive() -> Any:
        await asyncio.Event().wait()  # the client stays

    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": "http", "headers": pairs, "extensions": {}}
    return Exchange(scope, receive, time.perf_counter())


async def compute(intake: Intake, images: list[Any], deadline: float = 30) -> list[Any]:
    exchange, model = make_exchange(), intake._inference.catalogue.default
    ticket = intake.admit(exchange, 1000, deadline, model, not isinstance(images[0], bytes))
    try:
        return await intake.compute(exchange, ticket, images, model, 2, deadline)
    finally:
        ticket.close()


async def test_tensors_are_computed_as_they_are(parts: Any) -> None:
    state, intake = parts
    outcomes = await compute(intake, [TENSOR, -TENSOR])
    for outcome, expected in zip(outcomes, ([0, 3, 1.5], [0, -3, -1.5]), strict=True):
        assert isinstance(outcome, Classified)
        assert outcome.logits.tolist() == expected
        assert outcome.seconds["decode"] == outcome.seconds["preprocess"] == 0
        assert outcome.image.format == "tensor"
    assert [item.label for item in outcomes[0].predictions] == ["green", "blue"]
    assert state.admission.bodies.held == 0


async def test_files_and_what_is_no_image(parts: Any, make_image: Callable[..., bytes]) -> None:
    _, intake = parts
    first, nothing, other = await compute(intake, [make_image("lime"), b"", b"no image"])
    assert first.predictions[0].label == "green"
    assert isinstance(nothing, Problem)
    assert (nothing.code, other.code) == ("bad_request", "unsupported_format")


async def test_tensors_are_predicted_by_what_tensors_took(parts: Any) -> None:
    """And not by what it takes to decode a file of as many bytes."""
    state, intake = parts
    predictor = state.inference.predictor
    for _ in range(100):
        predictor.learn(TENSOR.nbytes, 60.0)
        predictor.learn(0, 0.001)
    assert state.admission.check_entry("", TENSOR.nbytes, 1, True)[0] < 0.1
    assert state.admission.check_entry("", TENSOR.nbytes, 1)[0] > 50
    await compute(intake, [TENSOR] * 3, deadline=1)


@pytest.mark.parametrize("text", ["0", "-1", "x", "60001", "1" * 50])
async def test_deadlines_that_cannot_be(parts: Any, text: str) -> None:
    with pytest.raises(Problem, match="invalid_parameter"):
        parts[1].read_deadline(make_exchange(x_deadline_ms=text))


async def test_deadlines(parts: Any) -> None:
    _, intake = parts
    assert intake.read_deadline(make_exchange()) == 3
    assert intake.read_deadline(make_exchange(x_deadline_ms="1500")) == 1.5


async def test_limits_are_those_of_settings_and_budget(parts: Any) -> None:
    state, intake = parts
    assert intake.most_images == 3
    assert intake.limits.max_bytes == state.budget.limits.max_body_bytes
    assert intake.body_memory == state.budget.bodies.capacity
