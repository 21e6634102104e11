"""The comparison of two running services, over two small servers of which one is slower."""

import json
import subprocess
import sys
from pathlib import Path

from tests.loadtests.stub_service import StubService, run_stub


def compare(
    repository: Path, first: str, second: str, *options: str
) -> "subprocess.CompletedProcess[str]":
    """Short turns; 60 s at most."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "loadtests/compare.py", "--headless"),
            *("--first", first, "--second", second, "--json", "--only-summary", "--skip-log"),
            *("--rounds", "2", "--turn-seconds", "0.5", "--warm-up-seconds", "0.1"),
            *("--image-count", "1", "--max-generator-cpu", "1000", *options),
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_slower_one_is_slower(repository: Path, tmp_path: Path) -> None:
    """0.3 s against 0.03 s: a busy machine does not turn that round."""
    report, text = tmp_path / "report.json", tmp_path / "report.md"
    info = {"model": {"name": "net", "input": {"shape": [3, 64, 64]}}}
    slow = StubService(delay=0.3, cpu_per_image=0.25, pages={"/info": info})
    fast = StubService(delay=0.03, cpu_per_image=0.125)
    with run_stub(slow) as first, run_stub(fast) as second:
        answer = compare(
            *(repository, first, second, "--report-json", str(report), "--markdown", str(text)),
            *("--max-cpu-ratio", "2", "--max-p50-ratio", "1"),
        )
    assert answer.returncode == 1, answer.stderr  # the latency's ratio does not hold, CPU's does
    found = json.loads(report.read_text())
    assert [check["name"] for check in found["checks"] if not check["held"]] == [
        "latency, median, first / second"
    ]
    measures = found["results"]["measures"]
    assert measures["CPU an image"]["ratio"]["median"] == 2
    assert measures["latency, median"]["first"]["low"] >= 300
    assert measures["latency, median"]["ratio"]["median"] > 1
    assert measures["images a second"]["ratio"]["median"] < 1
    assert found["results"]["order"] == ["first", "second", "second", "first"]
    assert "| image size | 64x64 | unknown |" in text.read_text()
    assert slow.bodies == fast.bodies  # both had the same images


def test_what_cannot_be_compared(repository: Path) -> None:
    with run_stub(StubService()) as first:
        answer = compare(repository, first, "http://127.0.0.1:9")
        assert answer.returncode == 2
        assert "expected a service at http://127.0.0.1:9, found none" in answer.stderr
        answer = compare(repository, first, first, "--master", "--expect-workers", "1")
        assert answer.returncode == 2
        assert "expected one process" in answer.stderr


def test_its_options_are_told(repository: Path) -> None:
    """Locust's own --help does not know them."""
    answer = compare(repository, "http://a", "http://b", "--all-options")
    assert answer.returncode == 0, answer.stderr
    assert "--turn-seconds" in answer.stdout


def test_failures_are_told(repository: Path) -> None:
    with run_stub(StubService(status=500)) as first, run_stub(StubService()) as second:
        answer = compare(repository, first, second)
    assert answer.returncode == 1, answer.stderr
    assert "failed (expected status 200, found 500)" in answer.stderr
