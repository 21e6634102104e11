"""Servers as processes: how they are named, started, pinned, watched and ended."""

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from loadtests.errors import ServerFault, WrongUsage
from loadtests.servers.processes import ProcessGone
from loadtests.servers.server import (
    Server,
    ServerSpec,
    describe_this_service,
    find_free_port,
    parse_service,
    run_on,
)

pytestmark = pytest.mark.anyio
PROGRAM = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = repr((sorted(os.sched_getaffinity(0)), os.environ.get("BNN_X"),
                     os.environ.get("BNN_STRAY"))).encode()
        self.send_response(200 if self.path == "/ready" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def make_spec(program: str = PROGRAM) -> ServerSpec:
    """A small server of the standard library."""
    command = (sys.executable, "-c", program, "{port}")
    return ServerSpec("small", command, Path.cwd(), {"BNN_X": "{port}"}, "/ready")


async def test_server_is_started_pinned_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_STRAY", "from the shell")
    cpu = max(os.sched_getaffinity(0))
    with Server(make_spec(), [cpu]) as server:
        assert await server.wait_until_ready() > 0
        assert os.sched_getaffinity(server.pid) == {cpu}
        environment = Path(f"/proc/{server.pid}/environ").read_bytes()
        assert f"BNN_X={server.address.port}".encode() in environment
        assert b"BNN_STRAY" not in environment
        assert server.read_usage().rss_bytes > 0
        assert server.read_cpu_seconds() > 0
        assert "listening" in server.read_log()
        assert server.alive
    assert not server.alive
    with pytest.raises(ProcessGone):
        server.read_usage()


async def test_server_gets_the_limit_of_descriptors_that_the_tool_was_given() -> None:
    given = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (given[0] - 1, given[1]))
    try:
        with Server(make_spec()) as server:
            await server.wait_until_ready()
            limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == given[0] - 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, given)
    assert limits == given


async def test_end_by_a_signal_is_waited_for() -> None:
    with Server(make_spec()) as server:
        await server.wait_until_ready()
        assert await server.wait_for_end(0.02) is None
        server.signal(signal.SIGTERM)
        assert await server.wait_for_end(20) == -signal.SIGTERM


async def test_server_that_ends_is_a_fault_with_its_log() -> None:
    with (
        Server(make_spec("import sys; print('no model here'); sys.exit(3)")) as server,
        pytest.raises(ServerFault, match=r"status 3(.|\n)*no model here"),
    ):
        await server.wait_until_ready()


async def test_server_that_is_never_ready_is_a_fault() -> None:
    with (
        Server(make_spec("import time; time.sleep(60)")) as server,
        pytest.raises(ServerFault, match="expected 200 from /ready"),
    ):
        await server.wait_until_ready(0.2)


def test_program_that_is_missing_is_a_fault() -> None:
    with pytest.raises(ServerFault, match="does not start"):
        Server(ServerSpec("none", ("/nowhere/python",), Path.cwd()))


def test_service_is_named_by_interpreter_and_tree(repository: Path) -> None:
    spec = parse_service(f"new={sys.executable}:{repository}", {"BNN_ENGINE": "native"})
    assert spec.name == "new"
    assert spec.command == (sys.executable, "-m", "service")
    assert spec.folder == repository
    assert spec.environment["BNN_ENGINE"] == "native"
    assert spec.environment["BNN_PORT"] == "{port}"
    assert describe_this_service({}).folder == repository


@pytest.mark.parametrize("text", ["", "new", "new=", "new=python", "=python:.", "new=:."])
def test_service_that_is_named_wrongly(text: str) -> None:
    with pytest.raises(WrongUsage, match="NAME=PYTHON:DIR"):
        parse_service(text, {})


def test_service_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="expected the path of a Python"):
        parse_service(f"new={tmp_path}/python:{tmp_path}", {})
    with pytest.raises(WrongUsage, match="service/__main__"):
        parse_service(f"new={sys.executable}:{tmp_path}", {})


def test_interpreter_that_would_run_another_tree(tmp_path: Path) -> None:
    """An editable install wins over the current folder: the wrong code would be measured."""
    (tmp_path / "service").mkdir()
    for name in ("__init__.py", "__main__.py"):
        (tmp_path / "service" / name).touch()
    with pytest.raises(WrongUsage, match="environment"):
        parse_service(f"new={sys.executable}:{tmp_path}", {})


def test_interpreter_that_does_not_work(tmp_path: Path, repository: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(WrongUsage, match="does not work"):
        parse_service(f"new={broken}:{repository}", {})


def test_pinning_ends_with_its_block() -> None:
    before = os.sched_getaffinity(0)
    with run_on([min(before)]):
        assert os.sched_getaffinity(0) == {min(before)}
    with run_on([]):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before


def test_free_ports_are_free() -> None:
    assert 1024 <= find_free_port() <= 65535
