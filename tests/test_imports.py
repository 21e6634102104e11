"""What a process loads: each engine its own libraries only; and Python runs on meanwhile."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.bundle import Bundle
from runtime.engines.prepare import prepare_parts
from runtime.kernels import library
from tests.runtime.bundles import make_bundle, make_images, make_network

# What the service has no need of before it is ready; some with the MiB and CPU ms that they take.
UNUSED = (
    *("torch", "onnxruntime", "models", "loadtests"),
    "numpy.random",  # 2.7, 5
    "fastapi",  # 5, 90: for the document of the API, spans, routes of others
    *("starlette.applications", "starlette.requests", "anyio", "python_multipart"),
    *(
        "service.routes.api",
        "service.routes.description",
        "service.routes.schemas",
        "service.routes.info",
    ),
    "opentelemetry",  # 0.7, 16
    *("idna", "PIL._avif"),  # 0.5 each
    "pydantic.v1",  # 1.5, 16: FastAPI asks it about every type that is a parameter or an answer
    "service.bulk",
    *(
        "service.watch.watch",
        "service.watch.camera",
        "service.watch.mjpeg",
        "service.watch.web",
        "service.routes.docs",
    ),  # 0.9, 8
    "service.oip",  # 0.2, 12
    *("fastapi.testclient", "starlette.testclient", "httpx", "numpy.testing", "unittest"),
    *("multiprocessing.managers", "concurrent.futures.process", "xml", "sqlite3", "yaml"),
)
# And what a command in the shell does not need.
SERVER = ("uvicorn", "httptools", "prometheus_client", "service.server.server")
CLEAN = {
    **{name: value for name, value in os.environ.items() if not name.startswith("BNN_")},
    "BNN_ENGINE": "native",
    "BNN_PORT": "0",
}

LONG = 0.5  # seconds in one call into a library
NEVER = 3600.0  # seconds


def loaded_by(bundle: Bundle, engine: str, repository: Path) -> set[str]:
    """Heavy modules in a fresh process that has predicted with an engine."""
    program = (
        "import sys, numpy\n"
        "from runtime import load_engine\n"
        f"engine = load_engine({str(bundle.path)!r}, {engine!r})\n"
        "engine.predict(numpy.zeros((1, *engine.bundle.manifest.input), numpy.float32))\n"
        "heavy = ('torch', 'onnxruntime', 'onnx', 'fastapi', 'models', 'service')\n"
        "print(*[name for name in heavy if name in sys.modules])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


def test_native_engine_loads_neither_torch_nor_onnxruntime(
    repository: Path, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False)
    assert loaded_by(bundle, "native", repository) == set()


def test_each_graph_engine_loads_its_own_library_only(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    bundle = make_bundle(tmp_path / "bundle")
    assert loaded_by(bundle, "torchscript", repository) == {"torch"}
    assert loaded_by(bundle, "onnx", repository) == {"onnxruntime"}


def loaded_after(program: str, repository: Path) -> set[str]:
    """The modules of a fresh process at the end of a program, or when it filled `found`.

    The program has `main`, which is what `python -m service` calls.
    """
    lines = (
        "import json, sys",
        "from service.__main__ import main",
        "found = []",
        program,
        "print(json.dumps(found or list(sys.modules)))",
    )
    answer = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=repository,
        env={**CLEAN, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(answer.stdout.splitlines()[-1]))


def loaded_at(asked: list[str], repository: Path) -> dict[str, set[str]]:
    """The modules of a served service when it is ready, and after each of these requests."""
    by_moment: dict[str, set[str]] = {}
    for line in loaded_after(SERVED % asked, repository):
        moment, _, name = line.rpartition(" ")
        by_moment.setdefault(moment, set()).add(name)
    order = ["ready", *asked]
    moments = sorted(by_moment, key=lambda it: order.index(" ".join(it.split()[:2])))
    return {moment: by_moment[moment] for moment in moments}


def find(names: Sequence[str], loaded: set[str]) -> list[str]:
    """Those of the names that are loaded, or of which a part is."""
    return [name for name in names if any(f"{it}.".startswith(f"{name}.") for it in loaded)]


SERVED = """
import http.client, io, os, signal, threading
from PIL import Image
from service.work.lifecycle import Lifecycle
from service.server.serve import Server
image = io.BytesIO()
Image.new("RGB", (64, 48)).save(image, "JPEG")
def note(moment):
    found.extend(f"{moment} {name}" for name in list(sys.modules))
def ask(port):
    for asked in %r:
        method, path = asked.split()
        connection = http.client.HTTPConnection("127.0.0.1", port)
        body = image.getvalue() if method == "POST" else None
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        note(f"{asked} {answer.status}")
        connection.close()
    os.kill(os.getpid(), signal.SIGINT)
listeners = []
def begin(self, *rest, begin=Server.__init__):
    begin(self, *rest)
    listeners.append(rest[-1])
def finish(self, finish_start=Lifecycle.finish_start):
    finish_start(self)
    note("ready")
    threading.Thread(target=ask, args=listeners[0].getsockname()[1:]).start()
Server.__init__, Lifecycle.finish_start = begin, finish
assert main(["serve"]) == 0
"""
LATE = ("fastapi", "opentelemetry", "anyio", "service.routes.description")


def test_service_that_is_ready_has_loaded_what_serving_takes(repository: Path) -> None:
    by_moment = loaded_at(["GET /livez"], repository)
    loaded = by_moment["ready"]
    assert find(UNUSED, loaded) == []
    assert find(SERVER, loaded) == list(SERVER)  # else the names above would prove nothing
    assert "service.routes.classify" in loaded


@pytest.mark.parametrize("document", ["GET /openapi.json", "GET /docs"])
def test_fastapi_is_loaded_for_the_document_of_the_api_alone(
    document: str, repository: Path
) -> None:
    asked = ["POST /classify", "GET /metrics", "GET /info", "GET /", "GET /nothing", "GET /readyz"]
    by_moment = loaded_at([*asked, document], repository)
    for moment, loaded in by_moment.items():
        expected = list(LATE) if moment.startswith(document) else []
        assert find(LATE, loaded) == expected, moment
    statuses = [moment.split()[-1] for moment in by_moment]
    assert statuses == ["ready", "200", "200", "200", "200", "404", "200", "200"]


@pytest.mark.parametrize("arguments", [["--version"], ["make-key", "me"], ["self-test"]])
def test_commands_in_the_shell_load_no_server(arguments: list[str], repository: Path) -> None:
    loaded = loaded_after(f"assert main({arguments!r}) == 0", repository)
    assert find((*UNUSED, *SERVER), loaded) == []
    assert find(["service.commands.commands"], loaded)


def count_ticks(call: Callable[[Any], object], batch_of: Callable[[int], Any]) -> int:
    """How often another thread ran during one call; the call's batch grows until it is long.

    The interpreter takes its lock away from no thread meanwhile: what ran on, ran because the call
    released it.
    """
    ticks, done = [0], threading.Event()
    interval = sys.getswitchinterval()

    def tick() -> None:
        while not done.wait(0.001):
            ticks[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        size = 8
        while True:
            batch = batch_of(size)
            sys.setswitchinterval(NEVER)
            time.sleep(0.05)  # until no thread waits with the old interval
            before, start = ticks[0], time.monotonic()
            call(batch)
            seconds, counted = time.monotonic() - start, ticks[0] - before
            sys.setswitchinterval(interval)
            if seconds >= LONG:
                return counted
            size *= 2
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()


def test_interpreter_runs_on_during_a_part() -> None:
    plan, tensors = make_network(pairs=(4,), transitions=(), image=32)
    part = prepare_parts(plan, tensors)[1]
    x = np.zeros((1, *plan[1].input), np.float32)
    workspace = library.allocate(library.describe_part(part).workspace_bytes)
    ticks = count_ticks(
        lambda batch: library.run_part(part, batch, workspace), lambda n: np.repeat(x, n, 0)
    )
    assert ticks >= 1


def test_interpreter_runs_on_during_a_scripted_network() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from runtime.engines.layers import fill_parts, script_network

    plan, tensors = make_network(pairs=(4,), transitions=(), image=32)
    network = script_network(plan)
    fill_parts(network, [step.name for step in plan], prepare_parts(plan, tensors))
    images = torch.from_numpy(make_images(plan, 1))
    with torch.inference_mode():
        assert count_ticks(network, lambda n: images.repeat(n, 1, 1, 1)) >= 1
