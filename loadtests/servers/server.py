"""Starts a server as a process on chosen CPUs, waits until it is ready, ends it, keeps its log."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from loadtests.clients.http_client import Address, Lost, ask, build_request
from loadtests.errors import ServerFault, WrongUsage
from loadtests.servers.processes import Usage, read_cpu_seconds, read_usage

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_SECONDS = 60.0
_LOG_TAIL = 1500  # characters shown of a server that does not start
_PREFIX = "BNN_"
_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)  # before the generator raises its own


@dataclass(frozen=True)
class ServerSpec:
    """How to start a server. `{port}` in command and environment becomes its port."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/readyz"


def describe_service(
    name: str, python: str, folder: Path, environment: Mapping[str, str]
) -> ServerSpec:
    """`python -m service` of a source tree, with these BNN_ variables and none of our shell's.

    Raises:
        WrongUsage: there is no such interpreter, no service in the folder, or the interpreter would
            run another one: an editable install wins over the folder it is started in.
    """
    if not Path(python).is_file():
        raise WrongUsage(
            f"service {name}: expected the path of a Python, found no file {python}; name one like "
            "DIR/.venv/bin/python"
        )
    if not (folder / "service" / "__main__.py").is_file():
        raise WrongUsage(
            f"service {name}: expected a source tree with service/__main__.py, found none in "
            f"{folder}; name its root"
        )
    origin = _find_module(python, folder)
    if folder.resolve() not in origin.resolve().parents:
        raise WrongUsage(
            f"service {name}: expected {python} to run the service in {folder}, but it runs "
            f"{origin}; name the interpreter of that tree's own environment"
        )
    # Absolute without following links: an environment's python is a link, and is known by its path.
    command = (os.path.abspath(python), "-m", "service")
    address = {"BNN_HOST": HOST, "BNN_PORT": "{port}"}
    return ServerSpec(name, command, folder.resolve(), {**address, **environment})


def _find_module(python: str, folder: Path) -> Path:
    """The file that `python -m service` takes when it is started there. Raises WrongUsage."""
    program = "import importlib.util as u; print(u.find_spec('service').origin)"
    try:
        answer = subprocess.run(
            [os.path.abspath(python), "-c", program],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as fault:
        raise WrongUsage(f"expected a Python, but {python} does not work: {fault}") from fault
    return Path(answer.stdout.strip())


def parse_service(text: str, environment: Mapping[str, str]) -> ServerSpec:
    """NAME=PYTHON:DIR. Raises WrongUsage."""
    name, equals, rest = text.partition("=")
    python, colon, folder = rest.rpartition(":")
    if not (name and equals and colon and python and folder):
        raise WrongUsage(f"expected NAME=PYTHON:DIR, as new=.venv/bin/python:., found {text!r}")
    return describe_service(name, python, Path(folder), environment)


def describe_this_service(environment: Mapping[str, str]) -> ServerSpec:
    """The service of this source tree under this interpreter."""
    return describe_service("service", sys.executable, ROOT, environment)


@contextlib.contextmanager
def _limit_descriptors() -> Iterator[None]:
    """Inside, processes get the limit that this one was started with."""
    raised = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, raised)


@contextlib.contextmanager
def run_on(cpus: Sequence[int]) -> Iterator[None]:
    """Inside, this thread and the processes it starts run on these CPUs only; empty: anywhere."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """A running server; a context manager that ends it. Its output goes to a file."""

    def __init__(self, spec: ServerSpec, cpus: Sequence[int] = ()) -> None:
        """Starts the process. Raises ServerFault."""
        self.spec = spec
        self.address = Address(HOST, find_free_port())
        self._log = tempfile.NamedTemporaryFile(prefix=f"{spec.name}-", suffix=".log")  # noqa: SIM115
        own = {k: v for k, v in os.environ.items() if not k.upper().startswith(_PREFIX)}
        port = str(self.address.port)
        given = {k: v.replace("{port}", port) for k, v in spec.environment.items()}
        try:
            with run_on(cpus), _limit_descriptors():
                self.process = subprocess.Popen(
                    [part.replace("{port}", port) for part in spec.command],
                    cwd=spec.folder,
                    env={**own, **given},
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C ends the tool, and the tool ends the server
                )
        except OSError as fault:
            self._log.close()
            raise ServerFault(f"{spec.name}: does not start: {fault}") from fault
        self._started = time.perf_counter()

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    async def wait_until_ready(self, seconds: float = START_SECONDS) -> float:
        """Returns the seconds from start to ready. Raises ServerFault with the end of the log."""
        request = build_request("GET", self.spec.ready_path, headers={"Connection": "close"})
        while time.perf_counter() < self._started + seconds:
            if not self.alive:
                raise ServerFault(
                    f"{self.spec.name}: expected a server, but it ended with status "
                    f"{self.process.returncode}; its log ends with:\n{self.read_log()}"
                )
            with contextlib.suppress(Lost):
                if (await ask(self.address, request, 5.0)).status == 200:
                    return time.perf_counter() - self._started
            await asyncio.sleep(0.02)
        raise ServerFault(
            f"{self.spec.name}: expected 200 from {self.spec.ready_path} within {seconds:g} s, "
            f"found none; its log ends with:\n{self.read_log()}"
        )

    def read_log(self, characters: int = _LOG_TAIL) -> str:
        """The end of what it wrote."""
        return Path(self._log.name).read_text(errors="replace")[-characters:]

    def read_usage(self) -> Usage:
        """Memory, threads, descriptors now. Raises ProcessGone."""
        return read_usage(self.pid)

    def read_cpu_seconds(self) -> float:
        """CPU time so far. Raises ProcessGone."""
        return read_cpu_seconds(self.pid)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Sends a signal to the process alone, as an orchestrator does."""
        self.process.send_signal(number)

    async def wait_for_end(self, seconds: float) -> int | None:
        """The exit status; None if it still runs after that time."""
        end = time.perf_counter() + seconds
        while self.alive and time.perf_counter() < end:
            await asyncio.sleep(0.01)
        return self.process.returncode

    def stop(self, seconds: float = 10.0) -> None:
        """Ends it and its children: asked first, then killed."""
        if self.alive:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def find_free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
