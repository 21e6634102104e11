"""service.app: applications are independent, and read the environment only when made."""

import subprocess
import sys
import threading
from typing import Any

import pytest

from service.app import create_app
from service.settings.settings import InvalidSettings, Settings

pytestmark = pytest.mark.anyio


async def test_two_applications_live_side_by_side(
    connect: Any, make_engine: Any, make_image: Any
) -> None:
    async with (
        connect(Settings(max_pixels=100), make_engine(name="a")) as first,
        connect(Settings(), make_engine(name="b")) as second,
    ):
        assert (await first.post("/classify", content=make_image())).status_code == 413
        answer = await second.post("/classify", content=make_image())
        assert answer.json()["model"]["name"] == "b"
        for client, expected in ((first, 1), (second, 0)):
            counted = f'bnn_decode_failures_total{{code="too_large"}} {expected}.0'
            assert counted in (await client.get("/metrics")).text


def test_the_environment_is_read_when_an_application_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BNN_THREADS", "none")
    with pytest.raises(InvalidSettings, match="BNN_THREADS"):
        create_app()


async def test_its_parts_are_told_to_whoever_serves_it(connect: Any) -> None:
    async with connect() as client:
        state = client.app.state
        assert state.lifecycle.is_started
        assert state.inference.classifier.manifest.name == "tiny"
        assert state.admission.bodies.held == 0
        assert state.metrics is not None


async def test_the_end_of_its_lifespan_is_the_end_of_its_threads(connect: Any) -> None:
    before = set(threading.enumerate())
    async with connect(Settings(workers=3)):
        names = [one.name for one in set(threading.enumerate()) - before]
        assert {"bnn-worker_0", "bnn-worker_1", "bnn-worker_2"} <= set(names)
    assert not [one for one in set(threading.enumerate()) - before if "bnn-worker" in one.name]


def test_importing_the_service_imports_no_tensor_library() -> None:
    code = (
        "import sys, service.__main__\n"
        "found = {'torch', 'onnxruntime', 'onnx', 'models'} & set(sys.modules)\n"
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
