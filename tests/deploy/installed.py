"""An environment of its own with the program installed, run as without a checkout."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OURS = ("BNN_", "PYTHON", "VIRTUAL_ENV", "OTEL_", "ORT_")
_START_SECONDS = 60


class Installation:
    """A virtual environment below `folder`; what runs in it runs in an empty folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "env" / "bin" / "python"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir(parents=True)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_OURS)
        }
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)

    def install(self, *arguments: str | Path, **variables: str) -> None:
        """pip install, from pip's own configuration."""
        self.run("python", "-m", "pip", "install", "-q", *arguments, **variables)

    def run(self, program: str, *arguments: str | Path, **variables: str) -> str:
        """What a program of the environment prints; fails with its errors."""
        done = subprocess.run(
            [self.python.parent / program, *arguments],
            cwd=self.elsewhere,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def classify(self, image: Path, **variables: str) -> dict[str, Any]:
        """What `bnn-service classify --json` says of an image."""
        answer: dict[str, Any] = json.loads(
            self.run("bnn-service", "classify", "--json", image, **variables)
        )
        return answer

    @contextlib.contextmanager
    def serve(self, **variables: str) -> Iterator[tuple[str, Path]]:
        """The service's URL and its log; ended by SIGTERM, which it has to answer with status 0."""
        port = _find_port()
        log = self.elsewhere / f"{port}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [self.python.parent / "bnn-service"],
                cwd=self.elsewhere,
                env=self.environment
                | {"BNN_PORT": str(port), "BNN_DRAIN_DELAY_MS": "0"}
                | variables,
                stdout=out,
                stderr=out,
            )
            try:
                url = f"http://127.0.0.1:{port}"
                _wait_until_ready(f"{url}/readyz", process, log)
                yield url, log
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0, log.read_text()
            finally:
                process.kill()
                process.wait()


def post_image(url: str, image: Path) -> dict[str, Any]:
    """What /classify says of an image, sent as curl -F does."""
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", "-F", f"image=@{image}", f"{url}/classify"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"not ready after {_START_SECONDS} s: {log.read_text()}")
