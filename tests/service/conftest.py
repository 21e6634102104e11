"""What the service's tests share: a fake engine, an in-process client, a picture, a real server."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from runtime import Bundle, Manifest, Preprocessing, SkippedEngine
from runtime.bundle import FileEntry, write_bundle
from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parents[2]


class FakeEngine:
    """Answers by the mean brightness of each channel: logits of the labels red, green, blue."""

    name = "native"
    implementation = "generic"
    model_bytes = 1234
    workspace_bytes = 5678

    def __init__(self, **changes: Any) -> None:
        self.skipped: tuple[SkippedEngine, ...] = ()
        self.threads: set[str] = set()
        spec = Preprocessing(36, 32, "area", (127.5,) * 3, (127.5,) * 3)
        fields: dict[str, Any] = {
            "name": "tiny",
            "architecture": {"variant": "fake"},
            "input": (3, 32, 32),
            "preprocessing": spec,
            "labels": ("red", "green", "blue"),
            "plan": (),
            "files": {"model.onnx": FileEntry("0" * 64, 1234)},
            "trained": True,
            "training": {"data": "none", "accuracy": {"top1": 0.9, "images": 10}},
            "parity": {"onnx": {"max_abs_logit_difference": 0.0}},
        }
        self.bundle = Bundle(Path("nowhere"), Manifest(**{**fields, **changes}))

    def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """float32 [N, 3, 32, 32] -> float32 [N, 3]."""
        self.threads.add(threading.current_thread().name)
        return 3 * images.mean(axis=(2, 3))


def encode_picture(
    colour: str = "red", size: tuple[int, int] = (60, 40), kind: str = "JPEG", **options: Any
) -> bytes:
    """A one-coloured picture file."""
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind, **options)
    return stream.getvalue()


@asynccontextmanager
async def open_client(
    settings: Settings | None = None, engine: Any = None, wait: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application in this process, its lifespan running."""
    app = create_app(settings or Settings(), engine or FakeEngine())
    async with app.router.lifespan_context(app):
        if wait:
            await app.state.inference.wait()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own settings do not reach the tests."""
    for name in [name for name in os.environ if name.startswith("BNN_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def make_engine() -> type[FakeEngine]:
    """The fake engine's class; keywords replace fields of its manifest."""
    return FakeEngine


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Makes picture files: picture(colour, size, kind, **options)."""
    return encode_picture


@pytest.fixture
def connect() -> Callable[..., Any]:
    """Opens a client of a service of its own: `async with connect(settings, engine)`."""
    return open_client


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with default settings and the fake engine."""
    async with open_client() as opened:
        yield opened


@pytest.fixture(scope="module")
async def shared_client() -> AsyncIterator[httpx.AsyncClient]:
    """The same, one for a whole module: for hypothesis, whose examples share their fixtures."""
    async with open_client() as opened:
        yield opened


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle that does what the fake engine does; only the onnx engine can run it."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Mul", ["flat", "three"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("three", TensorProto.FLOAT, [], [3.0])],
    )
    opsets = [helper.make_opsetid("", 17)]
    directory = tmp_path_factory.mktemp("bundle")
    file = directory / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(file))
    path = directory / "tiny"
    write_bundle(path, FakeEngine().bundle.manifest, {"model.onnx": file})
    return path


@pytest.fixture
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m service ARGUMENTS` to its end, with environment settings as keywords."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


class Server:
    """`python -m service` on a free port, its log in a file."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service"],
                cwd=ROOT,
                env={**os.environ, "BNN_PORT": "0", **environment},
                stderr=stream,
            )

    def wait_until_ready(self) -> str:
        """The service's URL, once it is ready."""
        for _ in range(1200):
            found = re.search(r"http://[\w.\[\]:]+:\d+(?=\W)", self._log.read_text())
            if found:
                url = found[0].replace("0.0.0.0", "127.0.0.1")
                if httpx.get(f"{url}/readyz").status_code == 200:
                    return url
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"the service did not become ready:\n{self._log.read_text()}")

    def stop(self, by: signal.Signals = signal.SIGTERM) -> str:
        """Ends the service by a signal; returns its log."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        self.process.wait(timeout=60)
        return self._log.read_text()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts real servers, environment settings as keywords; ends them afterwards."""
    started: list[Server] = []

    def start(**environment: str) -> Server:
        started.append(Server(tmp_path / f"server{len(started)}.log", environment))
        return started[-1]

    yield start
    for server in started:
        server.stop()
