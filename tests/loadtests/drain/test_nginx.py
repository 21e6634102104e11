"""nginx in front of a server: it passes requests on, and tells when nobody is behind it."""

import pytest

from loadtests.clients.http_client import Address, ask, build_request
from loadtests.drain.nginx import CONNECT_HEADER, Nginx, find_nginx
from loadtests.errors import ServerFault
from loadtests.servers.server import find_free_port
from tests.loadtests.local_server import answer_all, serve

pytestmark = pytest.mark.anyio
REQUEST = build_request("POST", "/classify", b"x" * 100_000, {"Connection": "close"})
needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")


@needs_nginx
@pytest.mark.parametrize("buffering", [True, False])
async def test_requests_are_passed_on(buffering: bool) -> None:
    async with serve(answer_all) as seen:
        with Nginx(seen.address, buffering) as nginx:
            await nginx.wait_until_ready()
            for _ in range(2):
                answer = await ask(nginx.address, REQUEST, 20)
                assert (answer.status, answer.body) == (200, b"hi")
    assert seen.connections == 1  # kept
    assert answer.headers[CONNECT_HEADER] == "0.000"


@needs_nginx
async def test_nobody_behind_it_is_told() -> None:
    with Nginx(Address("127.0.0.1", find_free_port()), buffering=True) as nginx:
        await nginx.wait_until_ready()
        answer = await ask(nginx.address, REQUEST, 20)
        assert answer.status == 502
        assert answer.headers[CONNECT_HEADER] == "-"
        assert "refused" in nginx.read_log()


def test_without_nginx_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtests.drain.nginx.find_nginx", lambda: None)
    with pytest.raises(ServerFault, match="apt-get install nginx-light"):
        Nginx(Address("127.0.0.1", 1), buffering=True)
