"""The other load generator: its summary, and a real run against a server on loopback."""

import shutil
from pathlib import Path

import pytest

from loadtests.comparison.wrk import PROGRAM, WrkRun, is_installed, read_output, run_wrk
from loadtests.errors import ServerFault
from tests.loadtests.local_server import OK, Peer, answer_all, serve

wants_wrk = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason="wrk is not installed: apt-get install wrk"
)


def test_reads_the_summary() -> None:
    text = "Running 1s test\nfound 200 1000000 3 2500 9000\n"
    found = read_output(text)
    assert found == WrkRun(200, 1.0, 3, 2.5, 9.0)
    assert found.rate == 200


def test_anything_else_is_a_fault() -> None:
    with pytest.raises(ServerFault, match="unable to connect"):
        read_output("unable to connect to 127.0.0.1:1")


@wants_wrk
@pytest.mark.anyio
async def test_posts_the_file(tmp_path: Path) -> None:
    image, bodies = tmp_path / 'a "quoted" name.jpg', []
    image.write_bytes(bytes(range(256)))

    async def behave(peer: Peer) -> None:
        while True:
            bodies.append(await peer.read_request())
            await peer.send(OK)

    async with serve(behave) as seen:
        found = await run_wrk(seen.address, image, 2, 1, (), tmp_path)
    assert is_installed()
    assert found.requests >= 10
    assert found.failed == 0
    assert found.p50_ms <= found.p99_ms
    assert set(bodies) == {bytes(range(256))}
    assert seen.heads[0].startswith(b"POST /classify HTTP/1.1\r\n")


@wants_wrk
@pytest.mark.anyio
async def test_refusals_are_failures(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x")

    async def behave(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK.replace(b"200 OK", b"429 No"))

    async with serve(behave) as seen:
        found = await run_wrk(seen.address, image, 1, 1, (), tmp_path)
    assert found.failed == found.requests > 0


@wants_wrk
@pytest.mark.anyio
async def test_nobody_listens(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x")
    async with serve(answer_all) as seen:
        gone = seen.address
    with pytest.raises(ServerFault, match="wrk"):
        await run_wrk(gone, image, 1, 1, (), tmp_path)
