"""The overhead tool: a short real run against this service, and what ends one."""

import sys
from pathlib import Path

import pytest

from loadtests.clients.http_client import Pool, build_request
from loadtests.errors import ServerFault
from loadtests.overhead.__main__ import Member, main
from loadtests.servers.contestants import Contestant
from loadtests.servers.server import Server, ServerSpec
from tests.loadtests.conftest import RunTool
from tests.loadtests.local_server import OK, Peer, serve


@pytest.mark.slow
def test_short_run_against_this_service(run_tool: RunTool, repository: Path) -> None:
    services = [f"--service={name}={sys.executable}:{repository}" for name in ("new", "today")]
    short = ["--repeats", "1", "--seconds", "0.2", "--concurrency", "2", "--bundle", "default"]
    status, found, printed = run_tool("overhead", *services, *short)
    assert status in (0, 1, 3), printed  # thresholds are for longer runs
    cells = found["results"]["cells"]
    assert [(c["bundle"], c["concurrency"]) for c in cells] == [("default", 2)] * 2
    for row in (row for cell in cells for row in cell["rows"]):
        assert row["engine"].startswith("native/")
        assert row["cpu_ms"][0] > 0
        assert row["rates"][0] > 0
        assert row["agreement"].endswith(", 0.000")
    assert "| today (`native/" in printed


@pytest.mark.anyio
async def test_answers_that_are_not_200_end_it(tmp_path: Path) -> None:
    async def behave(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK.replace(b"200 OK", b"503 No"))

    spec = ServerSpec("other", (sys.executable, "-c", "input()"), tmp_path)
    async with serve(behave) as seen:
        with Server(spec) as server:
            contestant = Contestant(spec, form=False, bare_kind="service")
            member = Member(contestant, server, Pool(seen.address), bare=None)  # type: ignore[arg-type]
            server.address = seen.address
            server.read_cpu_seconds = lambda: 0.0  # type: ignore[method-assign]
            data = build_request("POST", "/classify", b"x").data
            with pytest.raises(ServerFault, match="expected 200 for every request"):
                await member.take_turn([data], 1, 0.01)


@pytest.mark.parametrize(
    "options",
    [
        ["--peer", "nobody"],
        ["--peer-bundle", "."],
        ["--bundle", "none"],
        ["--repeats", "0"],
        ["--seconds", "-1"],
    ],
)
def test_wrong_options(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as found:
        main(options)
    assert found.value.code == 2
    assert "usage:" in capsys.readouterr().err
