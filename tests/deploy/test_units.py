"""The systemd units: every line is heeded, no right is too many, and the service agrees."""

import os
import re
import resource
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.arguments import build_parser
from service.memory.budget import Budget
from service.server.notify import Notifier
from service.server.serve import LAST_SECONDS
from service.server.server import bound_connections
from service.settings.settings import PREFIX, Settings, read_settings
from tests.deploy.units import (
    SYSTEMD,
    BadUnit,
    list_names,
    parse_unit,
    read_bytes,
    read_seconds,
    verify_unit,
)
from tests.service.managers import Manager
from tests.service.servers import ROOT, ServerProcess

FOLDER = ROOT / "deploy" / "raspberry-pi"
UNITS = ("bnn-service.service", "bnn-watch.service")
PROGRAM = "/opt/bnn-service/bin/bnn-service"
CONFIG = "/etc/bnn-service/settings.toml"
MAX_EXPOSURE = 13  # tenths of a point of 100; `systemd-analyze security` calls 20 OK
# Text that is free; and what other tests look at instead of systemd, which takes any value.
FREE = {"Description", "Environment", "EnvironmentFile", "ExecStart"}
PINNED = {
    **{"CapabilityBoundingSet": "", "AmbientCapabilities": "", "WantedBy": "multi-user.target"},
    "ExecReload": "/bin/kill -HUP $MAINPID",
}

needs_systemd = pytest.mark.skipif(
    not SYSTEMD.exists() or shutil.which("systemd-analyze") is None,
    reason="systemd is not installed: make system-test-tools",
)
Unit = dict[str, dict[str, list[str]]]


@pytest.fixture(params=UNITS)
def name(request: pytest.FixtureRequest) -> str:
    """Each unit's name."""
    name: str = request.param
    return name


@pytest.fixture
def text(name: str) -> str:
    """Each unit."""
    return (FOLDER / name).read_text()


def read_names(text: str) -> dict[str, set[str]]:
    """The unit's own names, for tests of values, where systemd is not there to list them."""
    lines = re.findall(r"^([A-Za-z0-9]+)=", text, re.MULTILINE)
    return {section: set(lines) for section in ("Unit", "Service", "Install")}


@pytest.fixture
def unit(text: str) -> Unit:
    """Its values."""
    return parse_unit(text, read_names(text))


def get(unit: Unit, name: str, section: str = "Service") -> str:
    """The value of what has one."""
    (value,) = unit[section][name]
    return value


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that come with the units, on a Pi."""
    for variable in [variable for variable in os.environ if variable.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr("service.settings.settings.count_cpus", lambda: 4)
    return read_settings(FOLDER / "settings.toml")


# ---- every line is heeded


@needs_systemd
def test_systemd_heeds_every_line(name: str, text: str, tmp_path: Path) -> None:
    assert parse_unit(text, list_names()).keys() == {"Unit", "Service", "Install"}
    assert verify_unit(text, name, tmp_path) == ""


def is_noticed(text: str, name: str, folder: Path) -> bool:
    """Whether the checks of this file see that something is wrong."""
    try:
        unit = parse_unit(text, list_names())
    except BadUnit:
        return True
    if any(
        unit[section].get(key, [value]) != [value]
        for section in unit
        for key, value in PINNED.items()
    ):
        return True
    return verify_unit(text, name, folder) != ""


@needs_systemd
def test_each_misspelt_line_is_noticed(name: str, text: str, tmp_path: Path) -> None:
    """Name and value; systemd itself only warns, and starts the service without the line."""
    assert not is_noticed(text, name, tmp_path)
    lines = text.splitlines()
    count = 0
    for number, line in enumerate(lines):
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        wrong = [line[:-2] + line[-1]]
        if equals:
            wrong = [f"{key[:-1]}={value}", f"{key}s={value}", f"{key} {value}", f" {line}"]
            wrong += [f"{key.lower()}={value}", line.replace("=", " = ", 1)]
            if key not in FREE:
                wrong += [f"{key}={value}z", f"{key}={value} none-such"]
        for changed in wrong:
            mutant = "\n".join([*lines[:number], changed, *lines[number + 1 :], ""])
            assert is_noticed(mutant, name, tmp_path), changed
            count += 1
    print(f"{name}: {count} misspelt lines noticed")
    assert count > 300


@needs_systemd
def test_the_unit_has_few_rights(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}"]
    found = subprocess.run([*command, tmp_path / name], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    exposed = text.replace("\nNoNewPrivileges=yes", "").replace("\nDynamicUser=yes", "")
    (tmp_path / name).write_text(exposed)
    assert subprocess.run([*command, tmp_path / name], capture_output=True).returncode != 0


def test_both_units_have_the_same_rights() -> None:
    service, watch = ((FOLDER / name).read_text() for name in UNITS)
    start = "# ---- whom it may speak with"
    assert service[service.index(start) :] == watch[watch.index(start) :]


# ---- agreement with the service


def test_the_program_and_its_arguments(name: str, unit: Unit) -> None:
    command = get(unit, "ExecStart").replace("${WATCH_SOURCE}", "/run/bnn-camera")
    given = dict(
        word.split("=", 1)
        for line in unit["Service"].get("Environment", [])
        for word in [line.strip('"')]
    )
    command = command.replace("$WATCH_OPTIONS", given.get("WATCH_OPTIONS", ""))
    program, *words = shlex.split(command)
    assert program == PROGRAM
    options = build_parser().parse_args(words)
    assert str(options.config) == CONFIG
    assert options.command == ("watch" if name == "bnn-watch.service" else None)
    if options.command:
        assert (options.source, options.only_changes) == ("/run/bnn-camera", True)
        assert given["WATCH_SOURCE"] == options.source
    assert unit["Service"]["EnvironmentFile"] == ["-/etc/bnn-service/environment"]


def test_the_manager_is_told_what_it_waits_for(unit: Unit, settings: Settings) -> None:
    assert (get(unit, "Type"), get(unit, "NotifyAccess")) == ("notify", "main")
    watchdog = read_seconds(get(unit, "WatchdogSec"))
    with Manager() as manager:
        notifier = Notifier(manager.describe(watchdog))
        notifier.close()
    assert notifier.ping_seconds == watchdog / 2
    assert watchdog < settings.hang_ms / 1000 + 1  # a hang is not found much later than it is one
    assert read_seconds(get(unit, "TimeoutStartSec")) >= 120  # as the manifests have it


def test_there_is_time_to_stop(unit: Unit, settings: Settings) -> None:
    for given in (settings, Settings()):
        needed = (given.drain_delay_ms + given.grace_ms) / 1000 + LAST_SECONDS
        assert needed <= read_seconds(get(unit, "TimeoutStopSec"))


def test_wrong_settings_are_not_tried_again(name: str, unit: Unit) -> None:
    assert get(unit, "Restart") == "on-failure"
    assert read_seconds(get(unit, "RestartSec")) >= 5
    assert get(unit, "StartLimitIntervalSec", "Unit") == "0"
    if name == "bnn-service.service":
        assert get(unit, "RestartPreventExitStatus") == "2"


def test_the_memory_is_that_of_the_settings(
    unit: Unit, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    high, most = read_bytes(get(unit, "MemoryHigh")), read_bytes(get(unit, "MemoryMax"))
    assert settings.memory_budget == high < most
    assert get(unit, "MemorySwapMax") == "0"
    monkeypatch.setattr("service.memory.budget.read_memory_limit", lambda: most)
    budget = Budget(settings)
    assert (budget.limit, budget.origin) == (high, "BNN_MEMORY_BUDGET")
    monkeypatch.setattr("service.memory.budget.read_memory", lambda: {"rss": 100 * 2**20})
    budget.settle(224 * 224)  # of a process as large as with the default model, and a tenth more


def test_there_are_descriptors_and_threads(unit: Unit, settings: Settings, caplog: Any) -> None:
    soft, _, hard = get(unit, "LimitNOFILE").partition(":")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), before[1]))
    try:
        assert bound_connections(settings.max_connections) == settings.max_connections
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert int(hard or soft) >= int(soft)
    assert caplog.records == []
    threads = settings.workers * settings.threads + settings.workers + 32  # asyncio's, and some
    assert threads <= int(get(unit, "TasksMax"))


# ---- the command, with a manager made of a socket


def allowed_calls(unit: Unit) -> set[str]:
    """The system calls that the unit's filters leave."""
    calls: set[str] = set()
    for line in unit["Service"]["SystemCallFilter"]:
        if line.startswith("~"):
            calls -= expand(line[1:])
        else:
            calls |= expand(line) | expand("@default")
    return calls


def expand(group: str) -> set[str]:
    """The system calls of a group, and of the groups in it."""
    found = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    )
    names = {line.strip() for line in found.stdout.splitlines()[1:]}
    groups = {name for name in names if name.startswith("@")}
    calls = {name for name in names - groups if name and not name.startswith("#")}
    return calls.union(*(expand(name) for name in groups))


@needs_systemd
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace: make system-test-tools")
@pytest.mark.parametrize("engine", ["native", "onnx"])
def test_the_service_makes_no_call_that_its_unit_forbids(
    engine: str, tmp_path: Path, photos: Path
) -> None:
    """From its start over an answer to its end, with the unit's settings, times and signal."""
    text = (FOLDER / UNITS[0]).read_text()
    unit = parse_unit(text, list_names())
    trace = tmp_path / "trace"
    with Manager() as manager:
        given = manager.describe(read_seconds(get(unit, "WatchdogSec")))
        if engine != "native":
            given["BNN_MEMORY_BUDGET"] = "1GiB"
        server = ServerProcess(
            tmp_path / "log",
            {**given, "BNN_CONFIG": str(FOLDER / "settings.toml"), "BNN_ENGINE": engine},
            int(get(unit, "LimitNOFILE").partition(":")[0]),
            before=("strace", "-D", "-f", "-qq", "-o", str(trace)),
        )
        assert manager.wait_for("READY")["STATUS"] == "ready"
        assert manager.receive() == {"WATCHDOG": "1"}
        url = server.wait_until_ready()
        photo = next(photos.glob("*.jpg")).read_bytes()
        answer = httpx.post(
            f"{url}/classify", content=photo, headers={"content-type": "image/jpeg"}
        )
        assert answer.status_code == 200
        assert httpx.get(f"{url}/metrics").status_code == 200
        log = server.stop()
        assert server.wait() == 0
    assert engine != "native" or '"limit_mib":256' in log
    calls = set()
    for line in trace.read_text(errors="replace").splitlines():
        match = re.match(r"\d+ +(?:<\.\.\. )?([a-z]\w*)(?:\(| resumed)", line)
        if match:
            calls.add(match[1])
        # what MemoryDenyWriteExecute refuses
        assert not re.search(r"mmap\(.*PROT_WRITE\|PROT_EXEC|mprotect\(.*PROT_EXEC", line), line
        assert not re.search(r"shmat\(.*SHM_EXEC", line), line
        assert (
            not (m := re.search(r"\bsocket\((AF_\w+)", line))
            or m[1] in get(unit, "RestrictAddressFamilies").split()
        ), line
    assert {"execve", "mmap", "accept4", "sendto"} <= calls
    assert calls - allowed_calls(unit) == set()
