"""Builds the service up step by step in a process of its own, whose memory is read after each.

The steps run in the service's own interpreter: this process imports nothing of it. Each step is a
few lines of Python; the child runs them when it is told to and answers, and waits meanwhile.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.errors import ServerFault
from loadtests.servers.server import run_on
from loadtests.servers.smaps import Memory, read_memory, read_peak, reset_peak

STEP_SECONDS = 120.0
INTERPRETER, LIBRARY, MODULES, APPLICATION = (
    "interpreter",
    "inference library",
    "service modules",
    "application",
)
MODEL, ARENA = "model", "arena"
_LIBRARIES = {"native": "", "onnx": "import onnxruntime", "torchscript": "import torch"}
# The order is the service's own, as is how it imports: without collections, pydantic's models built
# when they are first used.
_STACK = (
    (INTERPRETER, ""),
    ("standard library", "import asyncio, hashlib, importlib.metadata, inspect, json, logging"),
    ("NumPy", "import numpy"),
    ("Pillow", "import PIL.Image"),
    (
        "pydantic and its settings",
        """
from service.system.quick_imports import quick_imports
importing = quick_imports()
importing.__enter__()
import pydantic, pydantic_settings
""",
    ),
    ("Prometheus client", "import prometheus_client"),
    ("uvicorn with httptools", "import uvicorn, uvicorn.server, httptools"),
)
_MODULES = """
import service.command_line, service.server.serve
import runtime
importing.__exit__(None, None, None)
runtime.return_freed_memory()
"""
_APPLICATION = """
from service.app import create_app
from service.settings.settings import read_settings
settings = read_settings()
app = create_app(settings)
"""
_MODEL = """
engine = runtime.load_engine(settings.bundle, settings.engine, settings.threads)
import gc
gc.collect()
runtime.trim_memory()
told["engine"] = f"{engine.name}/{engine.implementation}"
told["weights_bytes"] = engine.model_bytes
told["workspace_bytes"] = engine.workspace_bytes
"""
_ARENA = """
manifest = engine.bundle.manifest
channels, height, width = manifest.input
for _ in range(2):
    engine.predict(numpy.zeros((1, channels, height, width), numpy.float32), 1)
runtime.trim_memory()  # the workspace is free again
"""
_DECODE = """
reader = runtime.ImageReader(manifest.preprocessing)
from pathlib import Path
def decode(path):
    data = Path(path).read_bytes()
    reader.read_tensor(data)
"""
_PROGRAM = """
import json, os, sys
told, names = {}, {"__name__": "steps"}
names["told"] = told
for line in sys.stdin:
    told.clear()
    exec(json.loads(line), names)
    heavy = [name for name in ("torch", "onnxruntime") if name in sys.modules]
    print(json.dumps({**told, "heavy": heavy}), flush=True)
"""


@dataclass(frozen=True)
class Step:
    """What a step added to the process; `peak` is by how much its RSS was higher in between."""

    name: str
    added: Memory
    peak: int = 0


@dataclass
class Breakdown:
    """The parts of a process that has been built up, in order, and what is in it."""

    engine: str
    steps: list[Step]
    decoding: dict[str, int]  # of each file: bytes above the RSS before it
    heavy: list[str]  # of torch and onnxruntime, those that are imported
    weights_bytes: int = 0
    workspace_bytes: int = 0

    @property
    def total(self) -> Memory:
        """All parts together: the memory of the process after the last step."""
        return sum((step.added for step in self.steps), Memory())

    def add_up(self, *names: str) -> Memory:
        """These parts together; those that are not there count nothing."""
        return sum((step.added for step in self.steps if step.name in names), Memory())

    @property
    def without_model(self) -> Memory:
        """The process before the model is loaded."""
        return self.total - self.add_up(MODEL, ARENA)


def list_steps(engine: str) -> list[tuple[str, str]]:
    """Names and programs of the steps up to the application, the model left out."""
    steps = list(_STACK)
    if _LIBRARIES[engine]:
        steps.append((LIBRARY, _LIBRARIES[engine]))
    return [*steps, (MODULES, _MODULES), (APPLICATION, _APPLICATION)]


async def break_down(
    python: str,
    folder: Path,
    engine: str,
    environment: Mapping[str, str] | None = None,
    *,
    with_model: bool = True,
    files: Sequence[Path] = (),
    cpus: Sequence[int] = (),
) -> Breakdown:
    """Builds the service of a source tree up to its application, or up to its first answers.

    `engine` is native, onnx or torchscript; `environment` has further BNN_ variables, as
    BNN_BUNDLE; it may be a ServerSpec's. With the model, each of `files` is decoded at the end.
    Raises ServerFault.
    """
    own = {k: v for k, v in os.environ.items() if not k.upper().startswith("BNN_")}
    chosen = {k: v for k, v in (environment or {}).items() if "{port}" not in v}
    given = {**own, **chosen, "BNN_ENGINE": engine}
    try:
        with run_on(cpus):
            process = subprocess.Popen(
                [python, "-c", _PROGRAM],
                cwd=folder,
                env=given,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
    except OSError as fault:
        raise ServerFault(f"memory steps: {python} does not start: {fault}") from fault
    try:
        return await _Builder(process).build(engine, with_model, files)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


class _Builder:
    """Tells the child what to do, and reads its memory."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._before = Memory()
        self._steps: list[Step] = []
        self._told: dict[str, object] = {}

    async def build(self, engine: str, with_model: bool, files: Sequence[Path]) -> Breakdown:
        for name, program in list_steps(engine):
            await self._take(name, program)
        decoding: dict[str, int] = {}
        if with_model:
            await self._take(MODEL, _MODEL)
            await self._take(ARENA, _ARENA)
            if files:
                await self._run(_DECODE)
            for path in files:
                decoding[path.name] = await self._decode(path)
        told = self._told
        return Breakdown(
            str(told.get("engine", engine)),
            self._steps,
            decoding,
            [str(name) for name in _as_list(told.get("heavy"))],
            int(str(told.get("weights_bytes", 0))),
            int(str(told.get("workspace_bytes", 0))),
        )

    async def _take(self, name: str, program: str) -> None:
        if name != INTERPRETER:
            reset_peak(self._process.pid)
        await self._run(program)
        now = read_memory(self._process.pid)
        peak = read_peak(self._process.pid) - max(now.rss, self._before.rss)
        self._steps.append(Step(name, now - self._before, max(0, peak)))
        self._before = now

    async def _decode(self, path: Path) -> int:
        """Bytes of RSS that decoding takes in between; a first time is not counted."""
        program = f"decode({str(path)!r})"
        await self._run(program)
        await self._run("runtime.trim_memory()")
        before = read_memory(self._process.pid).rss
        reset_peak(self._process.pid)
        await self._run(program)
        return max(0, read_peak(self._process.pid) - before)

    async def _run(self, program: str) -> None:
        """Raises ServerFault."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(program) + "\n")
            self._process.stdin.flush()
            async with asyncio.timeout(STEP_SECONDS):
                line = await asyncio.to_thread(self._process.stdout.readline)
        except (OSError, TimeoutError) as fault:
            raise ServerFault(f"memory steps: expected an answer of the child: {fault}") from fault
        if not line:
            raise ServerFault(
                "memory steps: expected an answer, but the child ended with status "
                f"{self._process.wait()}; what it wrote to stderr is above"
            )
        self._told |= json.loads(line)


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
