"""service.server.notify: what the service manager hears, over real sockets and from real
processes.
"""

import asyncio
import errno
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.server.notify import Notifier, Supervision
from service.settings.settings import Settings
from service.work.lifecycle import Lifecycle
from tests.service.cameras import give, serve_web
from tests.service.managers import Manager
from tests.service.servers import ROOT, ServerProcess
from tests.service.wire import SECONDS


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    """At a path, and under an abstract name."""
    with Manager(request.param) as manager:
        yield manager


@pytest.fixture
def one() -> Iterator[Manager]:
    """At a path."""
    with Manager() as manager:
        yield manager


# ---- messages


def test_each_message_is_one_datagram_of_lines(manager: Manager) -> None:
    notifier = Notifier(manager.describe(30))
    assert notifier.ping_seconds == 15
    notifier.tell_ready("ready")
    notifier.ping()
    notifier.tell_status("busy")
    notifier.tell_stopping("stopping", 27.5)
    notifier.tell_failure("no model", errno.ENOENT)
    notifier.tell_failure("no model")
    notifier.close()
    notifier.ping()
    assert manager.drain() == [
        {"READY": "1", "STATUS": "ready"},
        {"WATCHDOG": "1"},
        {"STATUS": "busy"},
        {"STOPPING": "1", "STATUS": "stopping", "EXTEND_TIMEOUT_USEC": "27500000"},
        {"STATUS": "no model", "ERRNO": str(errno.ENOENT)},
        {"STATUS": "no model", "ERRNO": str(errno.EINVAL)},
    ]


@given(st.text())
def test_a_status_is_one_line_whatever_is_in_it(text: str) -> None:
    with Manager() as manager:
        notifier = Notifier(manager.describe())
        notifier.tell_status(text)
        notifier.close()
        (message,) = manager.drain()
        assert list(message) == ["STATUS"]
        assert len(message["STATUS"]) <= 500


def test_without_a_manager_nothing_happens(caplog: Any) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "1000"}):
        notifier = Notifier(environment)
        assert notifier.ping_seconds is None
        notifier.tell_ready("ready")
        notifier.close()
    assert caplog.records == []


@pytest.mark.parametrize(
    "address", ["vsock:2:1234", "relative", "@", "/", "/nowhere/notify", "/\0", "/" + 200 * "x"]
)
def test_a_socket_that_cannot_be_used_is_one_warning(address: str, caplog: Any) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    notifier.tell_ready("ready")
    notifier.ping()
    assert notifier.ping_seconds is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "NOTIFY_SOCKET" in record.getMessage()


def test_a_manager_that_goes_away_is_one_warning(one: Manager, caplog: Any) -> None:
    notifier = Notifier(one.describe(1))
    one.__exit__()
    notifier.ping()
    notifier.ping()
    assert len(caplog.records) == 1
    assert notifier.ping_seconds is None


def test_a_manager_that_does_not_read_holds_nobody_up(
    one: Manager, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.server.notify._SEND_SECONDS", 0.001)
    notifier = Notifier(one.describe())
    for _ in range(2000):
        notifier.ping()
        if caplog.records:
            break
    assert "does not read" in caplog.text
    one.drain()
    notifier.tell_ready("ready")  # later messages arrive
    notifier.close()
    assert one.drain() == [{"READY": "1", "STATUS": "ready"}]


@pytest.mark.parametrize(
    ("changes", "seconds", "warns"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5, False),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5, False),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getppid())}, None, False),
        ({"WATCHDOG_USEC": ""}, None, False),
        ({"WATCHDOG_USEC": "0"}, None, True),
        ({"WATCHDOG_USEC": "30s"}, None, True),
        ({"WATCHDOG_USEC": "-1"}, None, True),
        ({"WATCHDOG_USEC": "\u0663"}, None, True),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(
    one: Manager, changes: dict[str, str], seconds: float | None, warns: bool, caplog: Any
) -> None:
    notifier = Notifier(one.describe() | changes)
    notifier.close()
    assert notifier.ping_seconds == seconds
    assert bool(caplog.records) is warns


# ---- the lifecycle on an event loop


def supervise(lifecycle: Lifecycle, notifier: Notifier) -> None:
    """The lifecycle's changes are told."""
    lifecycle.on_change = Supervision(notifier, lifecycle, 27).follow


def test_pings_end_while_a_worker_hangs_and_go_on_after_it(one: Manager, caplog: Any) -> None:
    lifecycle = Lifecycle(hang_seconds=60)
    run = 0.0
    lifecycle.watch(lambda: run)
    notifier = Notifier(one.describe(0.02))
    supervise(lifecycle, notifier)

    async def live() -> None:
        nonlocal run
        receive = asyncio.to_thread
        lifecycle.finish_start()
        assert await receive(one.receive) == {"READY": "1", "STATUS": "ready"}
        for _ in range(3):
            assert await receive(one.receive) == {"WATCHDOG": "1"}
        run = 61
        hanging = await receive(one.wait_for, "STATUS")
        assert hanging["STATUS"].startswith("hanging: expected no image to take more than 60 s")
        assert await receive(one.drain, 0.2) == []
        run = 0
        assert await receive(one.receive) == {"STATUS": "ready"}
        await receive(one.wait_for, "WATCHDOG")
        lifecycle.begin_drain()
        assert (await receive(one.wait_for, "STOPPING"))["EXTEND_TIMEOUT_USEC"] == "27000000"
        await receive(one.wait_for, "WATCHDOG")  # until the end
        notifier.close()

    asyncio.run(live())
    assert [record.levelname for record in caplog.records if record.name != "asyncio"] == ["ERROR"]


def test_a_loop_that_stands_still_ends_the_pings(one: Manager) -> None:
    lifecycle = Lifecycle(60)
    notifier = Notifier(one.describe(0.02))
    supervise(lifecycle, notifier)

    async def live() -> None:
        lifecycle.finish_start()
        await asyncio.sleep(0.05)
        one.drain()
        time.sleep(0.2)
        assert one.drain() == []
        await asyncio.sleep(0.05)
        assert {"WATCHDOG": "1"} in one.drain()

    asyncio.run(live())
    notifier.close()


def test_a_drain_before_the_start_is_over_is_never_ready(one: Manager) -> None:
    lifecycle = Lifecycle(60)
    notifier = Notifier(one.describe())
    supervise(lifecycle, notifier)
    lifecycle.begin_drain()
    lifecycle.finish_start()
    notifier.close()
    messages = one.drain()
    assert "STOPPING" in messages[0]
    assert all("READY" not in message for message in messages)


# ---- real processes


@pytest.fixture
def serve(tmp_path: Path, bundle: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts services with a small model; ends them."""
    servers: list[ServerProcess] = []

    def start(**environment: str) -> ServerProcess:
        given = {"BNN_BUNDLE": str(bundle), "BNN_ENGINE": "onnx", **environment}
        servers.append(ServerProcess(tmp_path / f"log{len(servers)}", given))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()


def test_a_service_from_its_start_to_its_end(
    manager: Manager, serve: Callable[..., ServerProcess]
) -> None:
    server = serve(**manager.describe(0.2))
    assert manager.receive()["READY"] == "1"  # and nothing before
    for _ in range(3):
        assert manager.receive() == {"WATCHDOG": "1"}
    server.wait_until_ready()
    log = server.stop()
    stopping = manager.wait_for("STOPPING")
    settings = Settings()
    longest = settings.grace_ms / 1000 + 5  # the delay is 0 here
    assert float(stopping["EXTEND_TIMEOUT_USEC"]) == longest * 1e6
    assert server.wait() == 0
    assert "NOTIFY_SOCKET" not in log


def test_a_service_serves_on_where_the_socket_cannot_be_used(
    serve: Callable[..., ServerProcess],
) -> None:
    server = serve(NOTIFY_SOCKET="/nowhere/notify", WATCHDOG_USEC="200000")
    server.wait_until_ready()
    assert server.stop().count("NOTIFY_SOCKET cannot be used") == 1
    assert server.wait() == 0


def test_a_start_that_fails_says_why(one: Manager, serve: Callable[..., ServerProcess]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve(BNN_PORT=str(taken.getsockname()[1]), **one.describe())
        message = one.receive()
        assert server.wait() == 1
    assert message["ERRNO"] == str(errno.EADDRINUSE)
    assert message["STATUS"].startswith("cannot listen on 127.0.0.1 port")

    server = serve(BNN_BUNDLE="/nowhere", **one.describe(1))
    message = one.wait_for("ERRNO")
    assert server.wait() == 1
    assert message["STATUS"].startswith("/nowhere/manifest.json")

    server = serve(BNN_PROT="1", BNN_WORKERS="many", **one.describe())
    message = one.receive()
    assert server.wait() == 2
    assert message["STATUS"].startswith("BNN_WORKERS: ")
    assert one.drain() == []


def start_watch(source: str, bundle: Path, environment: dict[str, str]) -> Any:
    words = ["watch", source, "--bundle", str(bundle), "--engine", "onnx", "--every", "0.05"]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("BNN_")}
    return subprocess.Popen(
        [sys.executable, "-m", "service", *words],
        cwd=ROOT,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_watch_is_ready_goes_on_and_ends(one: Manager, bundle: Path, make_image: Any) -> None:
    with serve_web(give(make_image("blue"))) as camera:
        process = start_watch(camera.url, bundle, one.describe(0.2))
        try:
            assert re.match("watching http://", one.wait_for("READY")["STATUS"])  # after pings
            for _ in range(3):
                assert one.receive() == {"WATCHDOG": "1"}
            process.terminate()
            assert "STATUS" in one.wait_for("STOPPING")
            process.communicate(timeout=SECONDS)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 0


def test_a_watch_that_cannot_start_says_why(one: Manager, bundle: Path) -> None:
    process = start_watch("/nowhere", bundle, one.describe())
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    (message,) = one.drain()
    assert errors == f"error: {message['STATUS']}\n"
