"""The run of a soak: the limit that a service tells, and a server that has gone."""

import sys
from pathlib import Path

import pytest

from loadtests.clients.http_client import Pool
from loadtests.errors import ServerFault
from loadtests.servers.server import Server, ServerSpec
from loadtests.soak.files import ImageFile
from loadtests.soak.requests import Mix
from loadtests.soak.run import Soak, read_limit

FILE = ImageFile("a.jpg", b"x")


def test_limit_is_the_service_s_own() -> None:
    assert read_limit({"limits": {"max_body_bytes": 5}}) == 5


@pytest.mark.parametrize("content", [None, {}, [], {"limits": {"max_body_bytes": "x"}}])
def test_service_without_limits_is_none(content: object) -> None:
    with pytest.raises(ServerFault, match="is this the service"):
        read_limit(content)


@pytest.mark.anyio
async def test_no_request_is_begun_when_the_server_has_gone() -> None:
    with Server(ServerSpec("gone", (sys.executable, "-c", ""), Path())) as server:
        server.process.wait()
        soak = Soak(server, Mix([FILE], [FILE], False, 1), requests=5)
        await soak.be_client(Pool(server.address))
        soak.sample()
    assert (soak.begun, soak.run.done, soak.run.points) == (0, 0, [])
