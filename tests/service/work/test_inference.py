"""service.work.inference: loading in the background, its failures, and what workers make of
images.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from runtime import SkippedEngine
from service.memory.budget import Budget
from service.messages.exchange import Connection
from service.messages.problems import Problem
from service.metrics.metrics import Metrics
from service.repository.served import ServedModel
from service.settings.settings import Settings
from service.work.inference import Classified, Inference
from service.work.lifecycle import Lifecycle
from service.work.scheduler import Job
from tests.service.conftest import make_served
from tests.service.servers import make_settings
from tests.service.wire import SECONDS

pytestmark = pytest.mark.anyio
STAGES = {"queue", "decode", "preprocess", "infer"}


def make_inference(engine: Any = None, **settings: Any) -> Inference:
    """With parts of its own."""
    chosen = make_settings(**settings)
    return Inference(chosen, Metrics(), Lifecycle(60), Budget(chosen), engine)


@asynccontextmanager
async def start(engine: Any = None, unit: int = 1, **settings: Any) -> AsyncIterator[Inference]:
    """One that has loaded, or failed to."""
    inference = make_inference(engine, **settings)
    inference.start()
    await inference.wait()
    inference.scheduler.unit = unit
    try:
        yield inference
    finally:
        await inference.close()


def submit(
    inference: Inference, data: bytes, cost: float = 1.0, model: ServedModel | None = None
) -> Job:
    """A job for one image, on its way."""
    job = Job(data, 1, "caller", Connection(), cost, monotonic() + SECONDS, model=model)
    inference.scheduler.submit(job)
    return job


async def classify(inference: Inference, data: bytes) -> Classified:
    """What becomes of an image."""
    outcome: Classified = await submit(inference, data).done
    return outcome


async def test_is_not_ready_until_the_warm_up_is_over(gated: Any) -> None:
    gated.close()
    inference = make_inference(gated)
    with pytest.raises(Problem, match="not_ready"):
        _ = inference.classifier
    inference.start()
    await asyncio.to_thread(gated.wait_for_call)
    with pytest.raises(Problem, match="not_ready"):
        _ = inference.classifier
    gated.open()
    await inference.wait()
    assert inference.classifier.manifest.name == "tiny"
    await inference.close()


async def test_works_on_threads_of_its_own(make_engine: Any, make_image: Any) -> None:
    engine, before = make_engine(), set(threading.enumerate())
    async with start(engine, workers=2) as inference:
        engine.threads.clear()
        answers = await asyncio.gather(
            *(classify(inference, make_image(colour)) for colour in ("red", "lime", "blue") * 5)
        )
    assert [answer.predictions[0].index for answer in answers] == [0, 1, 2] * 5
    assert all(answer.seconds.keys() == STAGES for answer in answers)
    assert all(min(answer.seconds.values()) >= 0 for answer in answers)
    assert engine.threads <= {"bnn-worker_0", "bnn-worker_1"}
    assert not [one for one in set(threading.enumerate()) - before if "bnn-" in one.name]


async def test_an_answer_holds_neither_file_nor_pixels(make_engine: Any, make_image: Any) -> None:
    async with start(make_engine()) as inference:
        job = submit(inference, make_image())
        outcome = await job.done
    assert (job.data, outcome.image.tensor.nbytes) == (b"", 0)


async def test_the_event_loop_runs_while_the_network_computes(gated: Any, make_image: Any) -> None:
    async with start(gated) as inference:
        gated.close()
        asyncio.get_running_loop().call_later(0.02, gated.open)
        await classify(inference, make_image())


async def test_an_image_alone_gets_all_threads_and_one_of_several_gets_one(
    gated: Any, make_image: Any
) -> None:
    async with start(gated, workers=2, threads=4) as inference:
        gated.close()
        first = submit(inference, make_image())
        await asyncio.to_thread(gated.wait_for_call)
        second = submit(inference, make_image())
        await asyncio.to_thread(gated.wait_for_call)
        gated.open()
        await asyncio.gather(first.done, second.done)
        assert gated.asked == [(1, 4), (1, 1)]


async def test_images_that_wait_are_computed_together(gated: Any, make_image: Any) -> None:
    async with start(gated, unit=4, workers=1) as inference:
        gated.close()
        first = submit(inference, make_image())
        await asyncio.to_thread(gated.wait_for_call)
        colours = ("red", "lime", "blue")
        jobs = [submit(inference, make_image(colour)) for colour in colours]
        bad = submit(inference, b"no image")
        gated.open()
        outcomes = await asyncio.gather(*(job.done for job in jobs))
        with pytest.raises(Problem, match="unsupported_format"):
            await bad.done
        assert [outcome.predictions[0].index for outcome in outcomes] == [0, 1, 2]
        assert [outcome.unit for outcome in (await first.done, *outcomes)] == [1, 3, 3, 3]
        assert [images for images, _ in gated.asked] == [1, 3]


async def test_each_model_computes_as_many_together_as_it_may(gated: Any, make_image: Any) -> None:
    async with start(gated, unit=4, workers=1) as inference:
        models = {unit: replace(make_served(f"of-{unit}"), unit=unit) for unit in (1, 2, 4)}
        for model in models.values():
            inference.catalogue.put(model)
        for unit, model in models.items():
            gated.close()
            first = submit(inference, make_image())  # of the default model, whose engine waits
            await asyncio.to_thread(gated.wait_for_call)
            jobs = [submit(inference, make_image(), model=model) for _ in range(4)]
            gated.open()
            outcomes = await asyncio.gather(first.done, *(job.done for job in jobs))
            assert [outcome.unit for outcome in outcomes[1:]] == [unit] * 4


async def test_one_bad_image_harms_no_other_of_its_unit(gated: Any, make_image: Any) -> None:
    class Poisoned(type(gated)):  # type: ignore[misc]
        def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
            logits = super().predict(images, threads)
            logits[images.mean(axis=(1, 2, 3)) > 0.9] = np.nan
            return logits

    engine = Poisoned()
    async with start(engine, unit=4, workers=1) as inference:
        engine.close()
        first = submit(inference, make_image())
        await asyncio.to_thread(engine.wait_for_call)
        jobs = [
            submit(inference, data)
            for data in (make_image(), make_image("white"), make_image("lime"))
        ]
        engine.open()
        red, white, green = await asyncio.gather(
            *(job.done for job in jobs), return_exceptions=True
        )
        assert isinstance(white, ArithmeticError)
        assert [found.predictions[0].label for found in (red, green)] == ["red", "green"]
        assert red.unit == 3
        await first.done


async def test_a_network_that_fails_ends_its_unit_and_no_worker(
    gated: Any, make_image: Any
) -> None:
    class Failing(type(gated)):  # type: ignore[misc]
        healthy = True

        def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
            if not self.healthy:
                raise ValueError("the network fails")
            return super().predict(images, threads)

    engine = Failing()
    async with start(engine, unit=4, workers=1) as inference:
        engine.healthy = False
        jobs = [submit(inference, data) for data in (make_image(), b"bad", make_image())]
        found = await asyncio.gather(*(job.done for job in jobs), return_exceptions=True)
        assert [type(outcome) for outcome in found] == [ValueError, Problem, ValueError]
        engine.healthy = True
        assert (await classify(inference, make_image())).predictions


async def test_the_predictor_learns_from_images_and_not_from_what_is_none(
    make_engine: Any, make_image: Any
) -> None:
    async with start(make_engine()) as inference:
        before = inference.predictor.predict(8)
        with pytest.raises(Problem):
            await submit(inference, b"no image", cost=10.0).done
        assert inference.predictor.predict(8) == before
        with pytest.raises(Problem):
            await submit(inference, b"no image", cost=0.0).done
        assert inference.predictor.predict(8) != before, "dearer than was thought"
        data = make_image()
        before = inference.predictor.predict(len(data))
        await classify(inference, data)
        assert inference.predictor.predict(len(data)) != before


async def test_no_memory_to_decode_is_no_fault_of_the_image(
    make_engine: Any,
    make_image: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def decode(*_: Any, **__: Any) -> None:
        raise MemoryError

    async with start(make_engine()) as inference:
        with monkeypatch.context() as patch:
            patch.setattr("runtime.image_reader.decode_image", decode)
            with pytest.raises(Problem, match="out_of_memory") as caught:
                await classify(inference, make_image())
        assert caught.value.definition.status == 503
        assert caplog.records[-1].levelname == "ERROR"
        assert caplog.records[-1].exc_info is not None
        metrics = inference._metrics.expose("")[0].decode()
        assert 'bnn_decode_failures_total{code="out_of_memory"} 1.0' in metrics
        assert (await classify(inference, make_image())).predictions


async def test_a_missing_bundle_is_a_fault_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    called = []
    lifecycle = Lifecycle(60)
    lifecycle.on_change = lambda: called.append(lifecycle.fault)
    settings = Settings(bundle=tmp_path / "absent")
    inference = Inference(settings, Metrics(), lifecycle, Budget(settings))
    inference.start()
    await inference.wait()
    assert called == [lifecycle.fault]
    assert lifecycle.fault is not None
    assert "absent" in lifecycle.fault
    assert [record.message for record in caplog.records] == ["the model cannot be served"]
    with pytest.raises(Problem, match="no_engine"):
        _ = inference.classifier
    await inference.close()


async def test_an_unexpected_failure_is_logged_with_its_traceback(
    make_engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(make_engine):
        def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
            raise MemoryError("no room")

    async with start(Broken()) as inference:
        assert inference._lifecycle.fault == "MemoryError: no room"
        assert caplog.records[-1].exc_info is not None


@pytest.mark.parametrize("limits", [{"max_pixels": 100}, {"max_body_bytes": 1024}])
async def test_narrow_limits_for_callers_prevent_no_start(
    make_engine: Any, limits: dict[str, int]
) -> None:
    async with start(make_engine(), **limits) as inference:
        assert inference._lifecycle.fault is None


async def test_falling_back_and_an_untrained_model_are_warnings(
    make_engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service")
    engine = make_engine(trained=False, training=None)
    engine.skipped = (SkippedEngine("torchscript", "torch is missing"),)
    async with start(engine):
        pass
    fallback, untrained, ready = (
        record for record in caplog.records if record.name == "service.repository.changes"
    )
    assert (fallback.levelname, untrained.levelname) == ("WARNING", "WARNING")
    assert fallback.skipped == {"torchscript": "torch is missing"}
    assert "untrained" in untrained.message
    assert (ready.message, ready.engine, ready.trained) == ("ready", "native/generic", False)
    assert ready.images_together >= 1


async def test_closing_finishes_what_was_begun_and_refuses_what_waits(
    gated: Any, make_image: Any
) -> None:
    async with start(gated, workers=1) as inference:
        gated.close()
        begun = submit(inference, make_image())
        await asyncio.to_thread(gated.wait_for_call)
        waiting = submit(inference, make_image())
        closing = asyncio.create_task(inference.close())
        with pytest.raises(Problem, match="draining"):
            await waiting.done
        gated.open()
        await closing
        assert (await begun.done).predictions


async def test_the_lifecycle_hears_of_a_hanging_worker(gated: Any, make_image: Any) -> None:
    lifecycle = Lifecycle(0.01)
    settings = Settings()
    inference = Inference(settings, Metrics(), lifecycle, Budget(settings), gated)
    inference.start()
    await inference.wait()
    gated.close()
    job = submit(inference, make_image())
    await asyncio.to_thread(gated.wait_for_call)
    await asyncio.sleep(0.02)
    with pytest.raises(Problem, match="hanging"):
        lifecycle.check_alive()
    gated.open()
    await job.done
    while inference.scheduler.busy:
        await asyncio.sleep(0.001)
    lifecycle.check_alive()
    await inference.close()
