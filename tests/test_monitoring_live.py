"""A real Prometheus scrapes a real service under load: every panel and every alert has data."""

import contextlib
import io
import json
import math
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from tests.promql import list_metrics, list_operands

pytestmark = pytest.mark.slow

FOLDER = Path("k8s", "components", "monitoring")
CGROUP = Path("/sys/fs/cgroup")
CONTAINER_METRICS = re.compile(r"bnn_cgroup_|bnn_memory_budget_bytes")
DRAIN_MS = 2500
LOAD_SECONDS = 5.0
# Takes the kernels away from the service, so that it falls back: an alert asks for that.
BREAKS_KERNELS = """
import ctypes

class WithoutKernels(ctypes.CDLL):
    def __init__(self, name, *arguments, **options):
        if "bnn" in str(name):
            raise OSError("taken away by a test")
        super().__init__(name, *arguments, **options)

ctypes.CDLL = WithoutKernels
"""
# So that torch is neither loaded, which takes seconds, nor absent by choice.
BREAKS_TORCH = "raise ImportError('taken away by a test')\n"


class Container:
    """Control groups of this test: limits as a container has them."""

    def __init__(self, groups: list[Path]) -> None:
        self.groups = groups

    def wrap(self, command: list[str]) -> list[str]:
        """The command, which joins the groups before it begins."""
        files = [str(group / "cgroup.procs") for group in self.groups]
        script = 'until [ "$1" = -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"'
        return ["sh", "-c", script, "sh", *files, "--", *command]

    def remove(self) -> None:
        for group in self.groups:
            group.rmdir()


def make_container() -> Container | None:
    """Of cgroup version 1 or 2, wherever this process may make them; else None."""
    name = f"bnn-test-{os.getpid()}"
    limits = {
        1: {
            "memory": {"memory.limit_in_bytes": "2147483648"},
            "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
        },
        2: {"": {"memory.max": "2147483648", "cpu.max": "150000 100000"}},
    }
    version = 2 if (CGROUP / "cgroup.controllers").exists() else 1
    container = Container([])
    try:
        for controller, files in limits[version].items():
            group = CGROUP / controller / name
            group.mkdir()
            container.groups.append(group)
            for file, text in files.items():
                (group / file).write_text(text)
    except OSError:
        with contextlib.suppress(OSError):
            container.remove()
        return None
    return container


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(what: str, check: Callable[[], Any], process: subprocess.Popen[bytes]) -> Any:
    """What `check` returns, once it is true; the process must live."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if found := check():
                return found
        assert process.poll() is None, f"ended with status {process.returncode} before: {what}"
        time.sleep(0.1)
    raise AssertionError(f"did not happen within a minute: {what}")


class Prometheus:
    """Debian's, with our rules, on a free port."""

    def __init__(self, folder: Path, rules: Path, target: int) -> None:
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules / "*.yaml")],
            "scrape_configs": [
                {
                    "job_name": "bnn-service",
                    "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = find_port()
        self._url = f"http://127.0.0.1:{port}"
        self.log = folder / "prometheus.log"
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--log.level=warn",
                ],
                stdout=stream,
                stderr=stream,
            )

    def get(self, path: str, **parameters: Any) -> Any:
        """`data` of an answer of its API."""
        answer = httpx.get(f"{self._url}/api/v1/{path}", params=parameters)
        content = answer.json()
        assert content["status"] == "success", content
        return content["data"]

    def query(self, query: str, moment: float | None = None) -> list[dict[str, Any]]:
        """The samples of a query at a moment; None: now."""
        at = {} if moment is None else {"time": moment}
        data = self.get("query", query=query, **at)
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        found: list[dict[str, Any]] = data["result"]
        return found

    def wait_until_ready(self) -> None:
        wait_for(
            "Prometheus is ready",
            lambda: httpx.get(f"{self._url}/-/ready").status_code == 200,
            self.process,
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Service:
    """`python -m service` without kernels, in a container where one can be made."""

    def __init__(self, folder: Path, repository: Path, container: Container | None) -> None:
        stubs = folder / "stubs"
        (stubs / "torch").mkdir(parents=True)
        (stubs / "torch" / "__init__.py").write_text(BREAKS_TORCH)
        (stubs / "sitecustomize.py").write_text(BREAKS_KERNELS)
        command = [sys.executable, "-m", "service"]
        self.port = find_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "service.log"
        with self._log.open("wb") as stream:
            self.process = subprocess.Popen(
                command if container is None else container.wrap(command),
                cwd=repository,
                env={
                    **{name: text for name, text in os.environ.items() if "BNN_" not in name},
                    "PYTHONPATH": str(stubs),
                    "BNN_PORT": str(self.port),
                    "BNN_WORKERS": "1",
                    "BNN_QUEUE_IMAGES": "2",
                    "BNN_DRAIN_DELAY_MS": str(DRAIN_MS),
                    "BNN_LOG_FORMAT": "json",
                },
                stderr=stream,
            )

    def wait_until_ready(self) -> None:
        wait_for(
            "the service is ready",
            lambda: httpx.get(f"{self.url}/readyz").status_code == 200,
            self.process,
        )

    def read_log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


class Load:
    """Callers of every kind, each in a thread, for a few seconds."""

    def __init__(self, url: str, port: int) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
        self._image = encode(Image.fromarray(noise))
        self._url = url
        self._port = port
        self._until = time.monotonic() + LOAD_SECONDS
        self.statuses: list[int] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            for caller in (self._leave, self._send_nonsense, self._ask_for_several, self._hurry):
                caller(client)  # alone first: later most of them are refused
        callers = [self._ask_for_one] * 6
        callers += [self._send_nonsense, self._ask_for_several, self._hurry, self._leave]
        threads = [threading.Thread(target=self._repeat, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _repeat(self, caller: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while time.monotonic() < self._until:
                caller(client)

    def _post(self, client: httpx.Client, path: str = "/classify", **options: Any) -> None:
        self.statuses.append(client.post(path, **options).status_code)

    def _ask_for_one(self, client: httpx.Client) -> None:
        self._post(client, content=self._image)

    def _ask_for_several(self, client: httpx.Client) -> None:
        parts = [("image", ("a", self._image)), ("image", ("b", b"no image"))]
        self._post(client, "/classify/batch", files=parts)
        time.sleep(0.05)

    def _hurry(self, client: httpx.Client) -> None:
        self._post(client, content=self._image, headers={"X-Deadline-Ms": "1"})
        time.sleep(0.02)

    def _send_nonsense(self, client: httpx.Client) -> None:
        self._post(client, content=b"GIF89a, no image that is accepted")
        self._post(client, content=self._image[: len(self._image) // 2])
        with socket.create_connection(("127.0.0.1", self._port)) as other:
            other.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
            other.recv(1000)
        time.sleep(0.1)

    def _leave(self, _: httpx.Client) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as other:
            size = len(self._image)
            head = f"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
            other.sendall(head.encode() + self._image[: size // 2])
            time.sleep(0.05)
            reset = struct.pack("ii", 1, 0)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        time.sleep(0.1)


def encode(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


@dataclass
class Scene:
    """What is left to ask when everything has happened."""

    prometheus: Prometheus
    is_limited: bool
    under_load: float
    draining: float
    statuses: set[int]
    log: list[dict[str, Any]]

    def find_value(self, query: str, moment: float | None = None) -> float:
        """The only sample under load, or at that moment."""
        (sample,) = self.prometheus.query(query, self.under_load if moment is None else moment)
        return float(sample["value"][1])

    def list_empty(self, queries: list[str]) -> list[str]:
        """Those without a number under load."""
        return [
            query
            for query in queries
            if not any(
                math.isfinite(float(sample["value"][1]))
                for sample in self.prometheus.query(query, self.under_load)
            )
        ]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Scene]:
    """Start, load, drain and end of a service, seen by a Prometheus that goes on."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is missing: install it (make system-test-tools)")
    folder = tmp_path_factory.mktemp("monitoring")
    with contextlib.ExitStack() as ends:
        container = make_container()
        if container is not None:
            ends.callback(container.remove)
        service = Service(folder, repository, container)
        ends.callback(service.stop)
        prometheus = Prometheus(folder, repository / FOLDER / "rules", service.port)
        ends.callback(prometheus.stop)
        service.wait_until_ready()
        prometheus.wait_until_ready()
        wait_for(
            "two scrapes of the service",
            lambda: (
                len(prometheus.query("bnn_event_loop_lag_seconds_count[1m]")[0]["values"]) > 1
                if prometheus.query("bnn_ready")
                else False
            ),
            prometheus.process,
        )
        load = Load(service.url, service.port)
        load.run()
        under_load = time.time()
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        wait_for(
            "a scrape of the draining service",
            lambda: prometheus.query('bnn_phase{phase="draining"} == 1'),
            service.process,
        )
        draining = time.time()
        assert time.monotonic() - began < 60
        service.stop()
        yield Scene(
            prometheus,
            container is not None,
            under_load,
            draining,
            set(load.statuses),
            service.read_log(),
        )


@pytest.fixture(scope="module")
def queries(repository: Path) -> list[str]:
    """Of every panel, as Grafana sends them, and of every alert, its conditions taken apart."""
    dashboard = json.loads((repository / FOLDER / "dashboard.json").read_text())
    found = [
        target["expr"]
        .replace("$__rate_interval", "30s")
        .replace("$job", "bnn-service")
        .replace("$instance", ".*")
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    for file in sorted((repository / FOLDER / "rules").glob("*.yaml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                found += list_operands(rule["expr"])
    assert len(found) > 60
    return found


def needs_container(query: str) -> bool:
    return any(CONTAINER_METRICS.match(name) for name in list_metrics(query))


def test_every_panel_and_alert_has_data(scene: Scene, queries: list[str]) -> None:
    asked = [query for query in queries if not needs_container(query)]
    assert scene.list_empty(asked) == []


def test_panels_and_alerts_on_the_container_have_data(scene: Scene, queries: list[str]) -> None:
    if not scene.is_limited:
        pytest.skip("no control group can be made here: not root, or /sys/fs/cgroup is read-only")
    asked = [query for query in queries if needs_container(query)]
    assert asked
    assert scene.list_empty(asked) == []


def test_the_load_was_one(scene: Scene) -> None:
    """Or zeros would have passed for data."""
    assert {200, 415, 422, 429, 504} <= scene.statuses
    for query in (
        'sum(bnn_requests_total{route="/classify",status="200"})',
        "sum(bnn_rejections_total)",
        "sum(bnn_decode_failures_total)",
        "sum(bnn_malformed_requests_total)",
        'bnn_problems_total{code="overloaded"}',
        'sum(bnn_requests_total{status="499"})',
        'bnn_stage_duration_seconds_count{stage="infer"}',
        "max(bnn_engine_skipped)",
    ):
        assert scene.find_value(query) > 0, query
    assert scene.find_value("sum(bnn_phase)") == 1


def test_the_drain_was_seen(scene: Scene) -> None:
    assert scene.find_value("bnn_ready") == 1
    assert scene.find_value("bnn_ready", scene.draining) == 0
    assert scene.find_value('bnn_phase{phase="draining"}', scene.draining) == 1


def test_prometheus_evaluates_every_rule(scene: Scene) -> None:
    groups = scene.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 15
    assert {
        rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"
    } == {}


def test_the_log_tells_of_refusals_in_few_lines(scene: Scene) -> None:
    lines = [line for line in scene.log if line["logger"] == "service.work.shedding"]
    assert lines[0]["message"] == "requests are refused"
    assert lines[-1]["message"] == "no requests are refused any more"
    assert len(lines) <= 4
    refused = scene.find_value("sum(bnn_rejections_total)", scene.draining)
    assert sum(sum(line["refused"].values()) for line in lines if "seconds" in line) >= refused
