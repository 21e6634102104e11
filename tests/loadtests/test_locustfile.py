"""The Locust file itself, run for a second or two against a small server like the service."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loadtests.stub_service import StubService, run_stub

#: A busy machine that runs the tests is not what they are about.
WHATEVER_THE_GENERATOR = ("--late-ms", "60000", "--max-generator-cpu", "1000")


@pytest.fixture
def stub() -> Iterator[tuple[StubService, str]]:
    """A running stub and its address."""
    service = StubService()
    with run_stub(service) as address:
        yield service, address


def start_locust(repository: Path, host: str, *options: str) -> "subprocess.Popen[str]":
    """Two users for a second where nothing else is said."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"),
            *("--stop-timeout", "5", "--host", host, "--json", "--only-summary", "--skip-log"),
            *(*WHATEVER_THE_GENERATOR, *options),
        ],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    """60 s at most."""
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_locust(repository: Path, host: str, *options: str) -> "subprocess.CompletedProcess[str]":
    closed = ("-u", "2", "-r", "2", "-t", "1s")
    return finish(start_locust(repository, host, *closed, *options))


def test_images_are_posted_and_timings_reported(
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
    answer = run_locust(repository, host, "--image-count", "1")
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


def test_images_are_there_before_the_clock_runs(repository: Path) -> None:
    """A test starts with all of them, however long they take to make."""
    program = (
        "from locust.env import Environment\n"
        "from locust import events\n"
        "from loadtests.locustfile import ClassifyUser\n"
        "from locust.argument_parser import get_parser\n"
        "environment = Environment(events=events, user_classes=[ClassifyUser])\n"
        "options = get_parser().parse_args(['--image-count', '2'])\n"
        "environment.parsed_options = options\n"
        "events.init.fire(environment=environment, runner=None, web_ui=None)\n"
        "payload = next(ClassifyUser.session.payloads)\n"
        "print(payload.body[:2], payload.path)\n"
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


def test_refusals_are_no_failures_but_have_a_row_of_their_own(
    repository: Path, stub: tuple[StubService, str]
) -> None:
    service, host = stub
    service.status, service.retry_after = 429, True
    free = start_locust(repository, host, "-u", "2", "-t", "1s")
    bound = start_locust(repository, host, "-u", "2", "-t", "1s", "--max-refused", "5")
    answer = finish(free)
    assert answer.returncode == 1, answer.stderr  # nothing was accepted
    assert "| accepted requests | 0 | >= 1 |  | **NO** |" in answer.stderr
    (row,) = json.loads(answer.stdout)
    assert (row["name"], row["num_failures"]) == ("/classify refused, 429", 0)
    answer = finish(bound)
    assert answer.returncode == 1
    assert "| refused requests | 100 % | <= 5 % |  | **NO** |" in answer.stderr


def test_a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one(
    repository: Path, tmp_path: Path
) -> None:
    stalling = [StubService(stall=(0.5, 1.5)) for _ in range(2)]
    reports = [tmp_path / "open.json", tmp_path / "closed.json"]
    with run_stub(stalling[0]) as first, run_stub(stalling[1]) as second:
        loops = (
            (first, "--loop", "open", "--rate", "40", "--arrivals", "constant", "-t", "2s"),
            (second, "-u", "2", "-r", "2", "-t", "2s"),
        )
        running = [
            start_locust(repository, *options, "--report-json", str(report))
            for options, report in zip(loops, reports, strict=True)
        ]
        answers = [finish(process) for process in running]
    for answer in answers:
        assert answer.returncode == 0, answer.stderr
    opened, closed = (json.loads(report.read_text())["results"]["total"] for report in reports)
    assert opened["latency"]["count"] == 80  # none is left out, whatever became of the others
    assert stalling[0].stalled >= 10
    assert opened["latency"]["p90_ms"] >= 300
    assert stalling[1].stalled <= 2  # both users wait: nobody else asks
    assert closed["latency"]["count"] > 2
    (row,) = json.loads(answers[0].stdout)
    assert row["max_response_time"] >= 700  # Locust's own statistics have the same latencies
    assert "lag, sent later than due" in answers[0].stderr


def test_every_shape_of_the_open_loop(
    repository: Path, stub: tuple[StubService, str], tmp_path: Path
) -> None:
    _, host = stub
    parts = {"step": 5, "spike": 3, "soak": 10}
    running = {
        shape: start_locust(
            *(repository, host, "--loop", "open", "--shape", shape, "--rate", "15"),
            *("--arrivals", "constant", "-t", "2s", "--report-json", str(tmp_path / shape)),
        )
        for shape in parts
    }
    for shape, process in running.items():
        answer = finish(process)
        assert answer.returncode == 0, answer.stderr
        found = json.loads((tmp_path / shape).read_text())["results"]
        assert len(found["stages"]) == parts[shape]
        for stage in found["stages"]:
            due = stage["level"] * stage["seconds"]
            assert abs(stage["latency"]["count"] - due) <= 1, stage


def test_the_ramp_finds_the_knee(repository: Path, tmp_path: Path) -> None:
    """50 requests a second can be answered: 5 hold, and of 300 the last ones wait for 5 s."""
    report = tmp_path / "ramp.json"
    with run_stub(StubService(one_by_one=True)) as host:
        answer = finish(
            start_locust(
                *(repository, host, "--loop", "open", "--shape", "ramp", "--rate", "5"),
                *("--ramp-factor", "60", "--stage-seconds", "1", "--max-p99-ms", "4000"),
                *("--report-json", str(report), "--min-rate", "6"),
            )
        )
    assert answer.returncode == 1, answer.stderr  # a knee of 6 was asked for
    knee = json.loads(report.read_text())["results"]["knee"]
    assert (knee["held"], knee["broken"]) == (5, 300)
    assert "The knee: 5 requests/s held, 300 did not (99th percentile" in answer.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--loop", "open", "--late-ms", "0", "-t", "1s"), "were sent more than 0 ms late"),
        (("-u", "1", "-t", "1s", "--max-generator-cpu", "0"), "the generator used"),
    ],
)
def test_a_generator_that_was_the_limit_has_measured_nothing(
    repository: Path, stub: tuple[StubService, str], options: tuple[str, ...], why: str
) -> None:
    _, host = stub
    answer = finish(start_locust(repository, host, *options))
    assert answer.returncode == 3, answer.stderr
    assert f"not a measurement: {why}" in answer.stderr or why in answer.stderr


def test_thresholds_of_a_file(
    repository: Path, stub: tuple[StubService, str], tmp_path: Path
) -> None:
    _, host = stub
    (tmp_path / "limits.toml").write_text("max_p99_ms = 0.5\nmin_rate = 100000\n")
    answer = run_locust(repository, host, "--thresholds", str(tmp_path / "limits.toml"))
    assert answer.returncode == 1, answer.stderr
    assert answer.stderr.count("**NO**") == 2


def test_nobody_there_is_a_failure(repository: Path) -> None:
    answer = run_locust(repository, "http://127.0.0.1:9", "--loop", "open", "--rate", "20")
    assert answer.returncode == 1, answer.stderr
    assert "expected answers, found none" in answer.stderr


def test_raw_tensors_where_the_service_takes_them(
    repository: Path, stub: tuple[StubService, str]
) -> None:
    service, host = stub
    refused = start_locust(repository, host, "--send", "tensor", "-t", "1s")
    assert finish(refused).returncode == 2
    tensor = {"name": "image", "datatype": "FP32", "shape": [-1, 3, 4, 5]}
    service.pages = {"/v2": {"name": "x"}, "/v2/models/net": {"name": "net", "inputs": [tensor]}}
    answer = run_locust(repository, host, "--send", "tensor", "--model", "net")
    assert answer.returncode == 0, answer.stderr
    assert list(service.requests) == [("POST", "/v2/models/net/infer", "")]
    body = next(iter(service.bodies))
    length = int(service.headers[0][b"inference-header-content-length"])
    head: dict[str, Any] = json.loads(body[:length])
    assert head["inputs"][0]["shape"] == [1, 3, 4, 5]
    assert len(body) - length == head["inputs"][0]["parameters"]["binary_data_size"] == 4 * 60


def test_a_distributed_open_loop_is_refused_and_a_closed_one_adds_up(
    repository: Path, stub: tuple[StubService, str], tmp_path: Path
) -> None:
    service, host = stub
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = str(free.getsockname()[1])
    port = ("--master-port", number, "--master-bind-port", number)
    refused = run_locust(repository, host, "--loop", "open", "--processes", "2", *port)
    assert refused.returncode == 2, refused.stderr
    assert "expected one process for --loop open" in refused.stderr
    report = tmp_path / "report.json"
    closed = ("--processes", "2", *port, "-t", "3s", "--image-count", "1")
    whole = run_locust(repository, host, *closed, "--report-json", str(report))
    assert whole.returncode == 0, whole.stderr
    total = json.loads(report.read_text())["results"]["total"]
    assert 0 < total["latency"]["count"] <= service.requests.total()
    assert total["generator_cpu_share"] > 0
