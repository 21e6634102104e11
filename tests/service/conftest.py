"""What the service's tests share: fake engines, an in-process client, an image, real servers."""

import asyncio
import gc
import io
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import service.server.server
from runtime import (
    Bundle,
    Hierarchy,
    ImageLimits,
    Known,
    Level,
    Manifest,
    Node,
    Preprocessing,
    SelfTest,
    SkippedEngine,
)
from runtime.bundle import FileEntry, write_bundle
from runtime.plan import Plan
from service.app import create_app
from service.classification.classifier import Classifier
from service.classification.predictor import Predictor
from service.repository.served import ServedModel
from service.settings.settings import Settings
from tests.service.clocks import Clock
from tests.service.servers import ROOT, ServerProcess, ServerThread
from tests.service.wire import SECONDS


class FakeEngine:
    """Answers by the mean brightness of each channel: logits of the labels red, green, blue."""

    name = "native"
    implementation = "generic"
    model_bytes = 1234
    workspace_bytes = 5678
    explains = True
    explain_bytes = 4096

    def __init__(self, **changes: Any) -> None:
        self.skipped: tuple[SkippedEngine, ...] = ()
        self.threads: set[str] = set()  # names of those that called
        self.asked: list[tuple[int, int | None]] = []  # images, and threads to use, of each call
        spec = Preprocessing(36, 32, "area", (127.5,) * 3, (127.5,) * 3)
        fields: dict[str, Any] = {
            "name": "tiny",
            "architecture": {"variant": "fake"},
            "input": (3, 32, 32),
            "preprocessing": spec,
            "labels": ("red", "green", "blue"),
            "plan": Plan(),
            "files": {"model.onnx": FileEntry("0" * 64, 1234)},
            "trained": True,
            "training": {"data": "none", "accuracy": {"top1": 0.9, "images": 10}},
            "parity": {"onnx": {"max_abs_logit_difference": 0.0}},
        }
        self.bundle = Bundle(Path("nowhere"), Manifest(**{**fields, **changes}))

    def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """float32 [N, 3, 32, 32] -> float32 [N, 3]."""
        self.threads.add(threading.current_thread().name)
        self.asked.append((len(images), threads))
        return 3 * images.mean(axis=(2, 3))

    def explain(self, images: np.ndarray, class_index: int) -> np.ndarray:
        """float32 [N, 3, 32, 32] -> float32 [N, 4, 4]: the brightness of the class's channel."""
        blocks = images.reshape(len(images), 3, 4, 8, 4, 8).mean(axis=(3, 5))
        return 3 * blocks[:, class_index]


class KnowingEngine(FakeEngine):
    """A fake engine with one logit more, for none of the labels: it is high where all is grey."""

    def __init__(self, **changes: Any) -> None:
        known = Known("other", slope=1.0, offset=0.0, threshold=0.4)
        super().__init__(**{"known": known, **changes})

    def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """float32 [N, 3, 32, 32] -> float32 [N, 4]."""
        logits = super().predict(images, threads)
        none = 3 - np.ptp(logits, axis=1, keepdims=True)
        return np.hstack([logits, none])


class HedgingEngine(FakeEngine):
    """A fake engine whose answers can be hedged: red and green are earth colours."""

    def __init__(self, **changes: Any) -> None:
        nodes = (Node("colour", "a colour", ()), Node("earth", "an earth colour", ("colour",)))
        levels = (Level(0.5, 0.0), Level(0.9, 2.0), Level(0.99, None))
        parents = (("earth",), ("earth",), ("colour",))
        hierarchy = Hierarchy(nodes, parents, levels, 40)
        super().__init__(**{"hierarchy": hierarchy, **changes})


class GatedEngine(FakeEngine):
    """A fake engine whose calls wait while its gate is closed."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self._gate = threading.Event()
        self._gate.set()
        self._called = threading.Semaphore(0)

    def close(self) -> None:
        """Calls wait from now on. Those before were the warm-up's: they are forgotten."""
        self._gate.clear()
        while self._called.acquire(blocking=False):
            pass
        self.asked.clear()

    def open(self) -> None:
        """They go on, and those to come do not wait."""
        self._gate.set()

    def wait_for_call(self) -> None:
        """Returns when a call has come that was not waited for before."""
        assert self._called.acquire(timeout=SECONDS), "the engine was never called"

    def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """As the fake engine's."""
        logits = super().predict(images, threads)
        self._called.release()
        assert self._gate.wait(SECONDS), "nobody opened the gate"
        return logits


def make_served(name: str = "tiny", **changes: Any) -> ServedModel:
    """A model of a fake engine that has passed its test."""
    classifier = Classifier(FakeEngine(**changes), ImageLimits())
    self_test = SelfTest("native", "generic", "exact", "", 1, 0.0, 0.0)
    return ServedModel(name, classifier, self_test, Predictor())


def encode_image(
    colour: str = "red", size: tuple[int, int] = (60, 40), kind: str = "JPEG", **options: Any
) -> bytes:
    """A one-coloured image file."""
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind, **options)
    return stream.getvalue()


@asynccontextmanager
async def open_client(
    settings: Settings | None = None, engine: Any = None, wait: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application in this process, which is its `app`; its lifespan is running."""
    app = create_app(settings or Settings(), engine or FakeEngine())
    async with app.lifespan():
        if wait:
            await app.state.inference.wait()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            client.app = app  # type: ignore[attr-defined]
            yield client
    await asyncio.sleep(0)  # what the workers had to say at the end
    assert app.state.admission.bodies.held == 0, "bytes of bodies that nobody gave back"
    gc.collect(1)  # exceptions that nobody has retrieved are told now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own settings do not reach the tests."""
    for name in [name for name in os.environ if name.startswith("BNN_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def quiet_server() -> Iterator[None]:
    """No test leaves a lost task, an exception that nobody has retrieved or an upset server."""
    complaints: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("asyncio", "uvicorn.error")]
    for logger in loggers:
        logger.addHandler(handler)
    yield
    for logger in loggers:
        logger.removeHandler(handler)
    assert not complaints


@pytest.fixture
def make_engine() -> type[FakeEngine]:
    """The fake engine's class; keywords replace fields of its manifest."""
    return FakeEngine


@pytest.fixture
def knowing() -> KnowingEngine:
    """A fake engine that knows "none of these": a grey image shows none of its labels."""
    return KnowingEngine()


@pytest.fixture
def hedging() -> HedgingEngine:
    """A fake engine whose answers can be hedged: yellow is an earth colour."""
    return HedgingEngine()


@pytest.fixture
def gated() -> GatedEngine:
    """A fake engine whose calls can be made to wait."""
    return GatedEngine()


@pytest.fixture
def make_image() -> Callable[..., bytes]:
    """Makes image files: image(colour, size, kind, **options)."""
    return encode_image


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
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that computes what the fake engine does."""
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
    file = tmp_path_factory.mktemp("graph") / "graph.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(file))
    return file


@pytest.fixture(scope="session")
def make_bundle(graph: Path) -> Callable[..., Path]:
    """Writes a bundle that does what the fake engine does: make_bundle(path, labels=...)."""

    def make(path: Path, **changes: Any) -> Path:
        write_bundle(path, FakeEngine(**changes).bundle.manifest, {"model.onnx": graph})
        return path

    return make


@pytest.fixture(scope="session")
def bundle(make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle that does what the fake engine does; only the onnx engine can run it."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def knowing_bundle(
    make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same, which knows "none of these" by the energy of its labels: grey shows none."""
    known = Known("energy", slope=5.0, offset=-10.0, threshold=0.5)
    return make_bundle(tmp_path_factory.mktemp("knowing") / "tiny", known=known)


@pytest.fixture(scope="session")
def hedging_bundle(
    make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A real bundle whose answers can be hedged as those of `hedging`."""
    hierarchy = HedgingEngine().bundle.manifest.hierarchy
    return make_bundle(tmp_path_factory.mktemp("hedging") / "tiny", hierarchy=hierarchy)


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


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts `python -m service`, environment settings as keywords; ends them afterwards."""
    started: list[ServerProcess] = []

    def start(
        descriptors: int | None = None, before: tuple[str, ...] = (), **environment: str
    ) -> ServerProcess:
        log = tmp_path / f"server{len(started)}.log"
        started.append(ServerProcess(log, environment, descriptors, before))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def tiny(bundle: Path) -> dict[str, str]:
    """The environment settings that serve the tiny bundle."""
    return {"BNN_BUNDLE": str(bundle), "BNN_ENGINE": "onnx"}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ServerThread]]:
    """Starts servers in this process: serve(engine=None, **settings); ends them afterwards."""
    monkeypatch.setattr(service.server.server, "_QUEUED_SECONDS", 0.02)  # nobody is far away
    started: list[tuple[ServerThread, Any]] = []

    def start(engine: Any = None, **settings: Any) -> ServerThread:
        engine = engine or GatedEngine()
        started.append((ServerThread(engine, **settings), engine))
        return started[-1][0]

    yield start
    for server, engine in started:
        if isinstance(engine, GatedEngine):
            engine.open()
        server.stop()


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ServerThread]:
    """One server in this process for a whole module, with an engine that never waits."""
    server = ServerThread(FakeEngine(), max_body_bytes=10 * 2**20)
    yield server
    server.stop()
