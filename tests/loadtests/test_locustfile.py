"""The load test itself, run for a second against a small server that answers like the service."""

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

ANSWER = {
    "predictions": [{"label": "cat", "index": 3, "score": 0.9}],
    "engine": "native/generic",
    "request_id": "0",
}


@dataclass
class StubService:
    """Answers POST /classify like the service does, or with the status it is told."""

    status: int = 200
    hold: bool = False  # nothing is answered while it is
    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while (await receive()).get("more_body"):
            pass
        self.requests[scope["method"], scope["path"], scope["query_string"].decode()] += 1
        self.types[dict(scope["headers"])[b"content-type"].decode().partition(";")[0]] += 1
        while self.hold:
            await asyncio.sleep(0.01)
        headers = [(b"content-type", b"application/json"), (b"x-time-infer-ms", b"1.500")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(ANSWER).encode()})


@pytest.fixture
def stub() -> Iterator[tuple[StubService, str]]:
    """A running stub and its address."""
    service = StubService()
    config = uvicorn.Config(service, port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(server.serve(sockets=[listener]))
    )
    thread.start()
    try:
        yield service, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        loop.close()
        listener.close()


def run_locust(repository: Path, host: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Two users for a second; 60 s at most."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"),
            *("-u", "2", "-r", "2", "-t", "1s", "--stop-timeout", "5", "--host", host, "--json"),
            *("--only-summary", "--skip-log", *options),
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_pictures_are_posted_and_timings_reported(
    repository: Path, stub: tuple[StubService, str], tmp_path: Path
) -> None:
    service, host = stub
    timings = tmp_path / "timings.json"
    answer = run_locust(repository, host, "--timings-json", str(timings), "--top-k", "3")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (classify,) = json.loads(answer.stdout)
    assert classify["name"] == "/classify"
    assert classify["num_failures"] == 0
    assert classify["num_requests"] > 0
    assert list(service.requests) == [("POST", "/classify", "top_k=3")]
    assert list(service.types) == ["multipart/form-data"]
    assert "service timings" in answer.stderr
    infer = json.loads(timings.read_text())["infer"]
    assert infer["p50_ms"] == 1.5
    assert infer["count"] == classify["num_requests"]


@pytest.mark.parametrize("status", [302, 422, 503])
def test_any_other_status_is_a_failure(
    repository: Path, stub: tuple[StubService, str], status: int
) -> None:
    service, host = stub
    service.status = status
    answer = run_locust(repository, host, "--picture-count", "1")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    (classify,) = json.loads(answer.stdout)
    assert classify["num_failures"] == classify["num_requests"] > 0


def test_no_answer_at_all_is_a_failure(
    repository: Path, stub: tuple[StubService, str], tmp_path: Path
) -> None:
    """As on a slow machine, where the time is over before the first answer."""
    service, host = stub
    service.hold = True
    try:
        answer = run_locust(repository, host, "--stop-timeout", "0")
    finally:
        service.hold = False
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "expected answers, found none" in answer.stderr


def test_pictures_are_there_before_the_clock_runs(repository: Path, tmp_path: Path) -> None:
    """A test starts with all of them, however long they take to make."""
    program = (
        "from locust.env import Environment\n"
        "from argparse import Namespace\n"
        "from locust import events\n"
        "from loadtests.locustfile import ClassifyUser\n"
        "options = Namespace(photos='', picture_seed=1, picture_count=2, top_k=5)\n"
        "environment = Environment(events=events, user_classes=[ClassifyUser])\n"
        "environment.parsed_options = options\n"
        "events.init.fire(environment=environment, runner=None, web_ui=None)\n"
        "print(next(ClassifyUser.bodies)[:2], ClassifyUser.path)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout == "b'--' /classify?top_k=5\n"


def test_photos_of_a_folder_are_sent(
    repository: Path, stub: tuple[StubService, str], tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"any bytes")
    service, host = stub
    answer = run_locust(repository, host, "--photos", str(tmp_path))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert service.requests.total() > 0
