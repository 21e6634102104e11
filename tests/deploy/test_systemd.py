"""The units under a real systemd: ready, watched, restarted, stopped, as their files have it."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.units import SYSTEMD
from tests.deploy.user_manager import UserManager
from tests.service.servers import ROOT

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(
        os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("unshare") is None,
        reason="needs root and an installed systemd: make system-test-tools",
    ),
]
UNIT = "bnn-service.service"
# What a user's manager cannot give: accounts, and cgroups that it does not have.
NOT_HERE = """
[Service]
DynamicUser=no
"""


@pytest.fixture
def manager() -> Iterator[UserManager]:
    """With the units, of this checkout's program and on another port."""
    with UserManager() as manager:
        folder = ROOT / "deploy" / "raspberry-pi"
        settings = (folder / "settings.toml").read_text()
        (manager.folder / "settings.toml").write_text(settings.replace("8000", "8797"))
        for name in (UNIT, "bnn-watch.service"):
            text = (folder / name).read_text()
            text = text.replace("/opt/bnn-service/bin/bnn-service", f"{sys.executable} -m service")
            manager.write(name, text.replace("/etc/bnn-service", str(manager.folder)))
            manager.write(f"{name}.d/here.conf", NOT_HERE)
        yield manager


def change(manager: UserManager, *lines: str) -> None:
    """The unit of the service with these lines."""
    manager.write(f"{UNIT}.d/test.conf", "\n".join(["[Service]", *lines, ""]))
    manager.call("daemon-reload")


def test_a_start_ends_when_the_service_is_ready(manager: UserManager) -> None:
    manager.call("start", UNIT)
    assert httpx.get("http://127.0.0.1:8797/readyz").status_code == 200
    assert manager.show(UNIT, "ActiveState") == "active"
    assert manager.show(UNIT, "StatusText") == "ready"
    process = Path("/proc") / manager.show(UNIT, "MainPID")
    status = dict(
        line.split(":\t", 1)
        for line in (process / "status").read_text().splitlines()
        if ":\t" in line
    )
    print({name: status[name] for name in ("NoNewPrivs", "Seccomp", "CapBnd", "CapEff", "Threads")})
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0
    assert any(" / / ro" in line for line in (process / "mountinfo").read_text().splitlines())
    manager.call("stop", UNIT)
    assert manager.show(UNIT, "Result") == "success"
    assert manager.show(UNIT, "ExecMainStatus") == "0"


def test_a_service_that_stands_still_is_started_anew(manager: UserManager) -> None:
    change(manager, "WatchdogSec=2", "RestartSec=100ms")
    manager.call("start", UNIT)
    time.sleep(5)  # more than two of the watchdog's times
    assert manager.show(UNIT, "NRestarts") == "0"
    first = manager.show(UNIT, "MainPID")
    os.kill(int(first), signal.SIGSTOP)
    manager.wait_for(UNIT, "NRestarts", "1")
    manager.wait_for(UNIT, "ActiveState", "active")
    assert manager.show(UNIT, "MainPID") != first
    assert "Watchdog timeout" in manager.log
    assert httpx.get("http://127.0.0.1:8797/readyz").status_code == 200


def test_an_end_that_takes_longer_than_the_unit_has_is_waited_for(manager: UserManager) -> None:
    change(manager, "TimeoutStopSec=1", "Environment=BNN_DRAIN_DELAY_MS=4000")
    manager.call("start", UNIT)
    began = time.monotonic()
    manager.call("stop", "--no-block", UNIT)
    manager.wait_for(UNIT, "StatusText", "stopping: answers what has begun")
    assert httpx.get("http://127.0.0.1:8797/livez").status_code == 200
    manager.call("stop", UNIT)
    assert time.monotonic() - began >= 4
    assert manager.show(UNIT, "Result") == "success"


def test_settings_that_are_wrong_end_it_for_good(manager: UserManager) -> None:
    change(manager, "RestartSec=100ms", "Environment=BNN_WORKERS=many")
    assert manager.call("start", UNIT, check=False).returncode != 0
    time.sleep(1)
    assert manager.show(UNIT, "ActiveState") == "failed"
    assert manager.show(UNIT, "NRestarts") == "0"
    assert manager.show(UNIT, "StatusText").startswith("BNN_WORKERS: ")


def test_a_model_that_cannot_be_loaded_is_tried_again(manager: UserManager) -> None:
    change(manager, "RestartSec=100ms", "Environment=BNN_BUNDLE=/nowhere")
    assert manager.call("start", "--no-block", UNIT).returncode == 0
    manager.wait_for(UNIT, "NRestarts", "2")
    assert "/nowhere/manifest.json" in manager.log
    manager.call("stop", UNIT)


def test_a_watch_waits_for_its_camera(manager: UserManager, photos: Path) -> None:
    frames = manager.folder / "frames"
    frames.mkdir()
    (manager.folder / "environment").write_text(f"WATCH_SOURCE={frames}\nWATCH_OPTIONS=--every 0\n")
    manager.call("start", "bnn-watch.service")
    assert manager.show("bnn-watch.service", "StatusText") == f"watching {frames}"
    shutil.copy(next(photos.glob("*.jpg")), frames / "1.jpg")
    until = time.monotonic() + 30
    while '"predictions"' not in manager.log:
        assert time.monotonic() < until, manager.log
        time.sleep(0.1)
    manager.call("stop", "bnn-watch.service")
    assert manager.show("bnn-watch.service", "Result") == "success"
