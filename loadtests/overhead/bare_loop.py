"""Decode, preprocess, infer in a plain loop without HTTP, in the interpreter of what is measured.

What a service costs beyond this loop is its overhead. The loop runs in a process of its own, by the
public names of the service's `runtime`, or by the network of a peer; this process sends it the
seconds of each turn and reads what it took.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loadtests.errors import ServerFault
from loadtests.servers.server import run_on

START_SECONDS = 60.0

_PREPARE = {
    "service": """
import os
import runtime
engine = runtime.load_engine(os.environ["BNN_BUNDLE"], os.environ.get("BNN_ENGINE", "auto"), 1)
spec = engine.bundle.manifest.preprocessing
what = f"{engine.name}/{engine.implementation}"
if hasattr(runtime, "ImageReader"):
    read = runtime.ImageReader(spec).read_tensor
else:  # a version before it
    def read(data):
        return runtime.preprocess(runtime.decode_image(data), spec)
def run(data):
    return engine.predict(read(data)[None])
""",
    "peer": """
import io
from loadtests.peers.network import open_network
from PIL import Image
network = open_network()
what = "onnxruntime"
def run(data):
    return network.infer(Image.open(io.BytesIO(data)))
""",
}
_LOOP = """
import json, sys, time
from pathlib import Path
def say(**answer):
    print(json.dumps(answer), flush=True)
say(ready=what)
for line in sys.stdin:
    order = json.loads(line)
    files = [Path(path).read_bytes() for path in order["files"]]
    for data in files:
        run(data)
    images = 0
    cpu, wall = time.process_time(), time.perf_counter()
    while time.perf_counter() < wall + order["seconds"]:
        for data in files:  # whole passes: files differ in what they cost
            run(data)
        images += len(files)
    say(images=images, cpu=time.process_time() - cpu, wall=time.perf_counter() - wall)
"""


@dataclass(frozen=True)
class BareTurn:
    """What one turn of the loop took."""

    images: int
    cpu: float  # seconds
    wall: float  # seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds an image."""
        return self.cpu / self.images * 1000

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.wall


class BareLoop:
    """A process that runs the loop on command; a context manager that ends it."""

    def __init__(
        self,
        kind: str,
        python: str,
        folder: Path,
        environment: Mapping[str, str],
        cpus: Sequence[int] = (),
    ) -> None:
        """kind: service or peer. Raises ServerFault if the process does not start."""
        try:
            with run_on(cpus):
                self._process = subprocess.Popen(
                    [python, "-c", _PREPARE[kind] + _LOOP],
                    cwd=folder,
                    env={**os.environ, **environment},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
        except OSError as fault:
            raise ServerFault(f"bare loop: {python} does not start: {fault}") from fault
        self.engine = ""

    async def wait_until_ready(self) -> str:
        """What computes. Raises ServerFault."""
        self.engine = str((await self._read(START_SECONDS))["ready"])
        return self.engine

    async def run(self, files: Sequence[Path], seconds: float) -> BareTurn:
        """One turn over these files, again and again. Raises ServerFault."""
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps({"files": [str(path) for path in files], "seconds": seconds}) + "\n"
        )
        self._process.stdin.flush()
        return BareTurn(**await self._read(seconds + START_SECONDS))

    async def _read(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                line = await asyncio.to_thread(self._process.stdout.readline)
        except TimeoutError:
            self.close()
            raise ServerFault(f"bare loop: expected an answer within {seconds:g} s") from None
        if not line:
            raise ServerFault(
                f"bare loop: expected an answer, but its process ended with status "
                f"{self._process.wait()}; what it wrote to stderr is above"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
