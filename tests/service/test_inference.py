"""service.inference: loading in the background, its failures, and threads of its own."""

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import SkippedEngine
from service.inference import Inference
from service.metrics import Metrics
from service.problems import Problem
from service.settings import Settings

pytestmark = pytest.mark.anyio


async def test_is_not_ready_until_the_warm_up_is_over(make_engine: Any) -> None:
    release = threading.Event()

    class Slow(make_engine):
        def predict(self, images: np.ndarray) -> np.ndarray:
            assert release.wait(20)
            return super().predict(images)

    inference = Inference(Settings(), Metrics(), Slow())
    with pytest.raises(Problem, match="not_ready"):
        _ = inference.classifier
    inference.start()
    await asyncio.sleep(0.05)
    with pytest.raises(Problem, match="not_ready"):
        _ = inference.classifier
    release.set()
    await inference.wait()
    assert inference.classifier.manifest.name == "tiny"
    await inference.close()


async def test_works_on_threads_of_its_own(make_engine: Any, picture: Any) -> None:
    engine = make_engine()
    inference = Inference(Settings(), Metrics(), engine)
    inference.start()
    await inference.wait()
    answers = await asyncio.gather(
        *(inference.classify(picture(colour), 1) for colour in ("red", "lime", "blue") * 5)
    )
    assert [answer.predictions[0].index for answer in answers] == [0, 1, 2] * 5
    assert all(answer.seconds.keys() == {"decode", "preprocess", "infer"} for answer in answers)
    assert {name.rpartition("_")[0] for name in engine.threads} == {"bnn-infer"}
    await inference.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bnn-")]


async def test_the_event_loop_runs_while_the_network_computes(
    make_engine: Any, picture: Any
) -> None:
    ticked = threading.Event()

    class Waiting(make_engine):
        def predict(self, images: np.ndarray) -> np.ndarray:
            assert ticked.wait(20), "the event loop stood still"
            return super().predict(images)

    inference = Inference(Settings(), Metrics(), Waiting())
    inference.start()
    asyncio.get_running_loop().call_later(0.02, ticked.set)
    await inference.wait()
    ticked.clear()
    asyncio.get_running_loop().call_later(0.02, ticked.set)
    await inference.classify(picture(), 1)
    await inference.close()


async def test_no_memory_to_decode_is_no_fault_of_the_picture(
    make_engine: Any,
    picture: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def decode(*_: Any) -> None:
        raise MemoryError

    metrics = Metrics()
    inference = Inference(Settings(), metrics, make_engine())
    inference.start()
    await inference.wait()
    with monkeypatch.context() as patch:
        patch.setattr("service.classifier.decode_image", decode)
        with pytest.raises(Problem, match="out_of_memory") as caught:
            await inference.classify(picture(), 1)
    assert caught.value.definition.status == 503
    assert caplog.records[-1].levelname == "ERROR"
    assert caplog.records[-1].exc_info is not None
    assert 'bnn_decode_failures_total{code="out_of_memory"} 1.0' in metrics.expose("")[0].decode()
    assert (await inference.classify(picture(), 1)).predictions
    await inference.close()


async def test_a_missing_bundle_is_a_fault_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    called = []
    inference = Inference(Settings(bundle=tmp_path / "absent"), Metrics())
    inference.on_fault = lambda: called.append(True)
    inference.start()
    await inference.wait()
    assert called == [True]
    assert inference.fault is not None
    assert "absent" in inference.fault
    assert [record.message for record in caplog.records] == ["the model cannot be served"]
    with pytest.raises(Problem, match="no_engine"):
        _ = inference.classifier
    await inference.close()


async def test_an_unexpected_failure_is_logged_with_its_traceback(
    make_engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(make_engine):
        def predict(self, images: np.ndarray) -> np.ndarray:
            raise MemoryError("no room")

    inference = Inference(Settings(), Metrics(), Broken())
    inference.start()
    await inference.wait()
    assert inference.fault == "MemoryError: no room"
    assert caplog.records[-1].exc_info is not None
    await inference.close()


async def test_falling_back_and_an_untrained_model_are_warnings(
    make_engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service")
    engine = make_engine(trained=False, training=None)
    engine.skipped = (SkippedEngine("torchscript", "torch is missing"),)
    inference = Inference(Settings(), Metrics(), engine)
    inference.start()
    await inference.wait()
    await inference.close()
    fallback, untrained, ready = caplog.records
    assert (fallback.levelname, untrained.levelname) == ("WARNING", "WARNING")
    assert fallback.skipped == {"torchscript": "torch is missing"}
    assert "untrained" in untrained.message
    assert (ready.message, ready.engine, ready.trained) == ("ready", "native/generic", False)
