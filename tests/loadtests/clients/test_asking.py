"""Asking a service: its answers as they are, and what to do where there is none."""

import pytest

from loadtests.clients.asking import ask, ask_json
from loadtests.errors import ServerFault
from tests.loadtests.stub_service import StubService, run_stub


def test_answers_are_read() -> None:
    service = StubService(pages={"/info": {"a": 1}, "/text": "no JSON"}, delay=0)
    with run_stub(service) as address:
        assert ask_json(address + "/", "/info") == {"a": 1}
        assert ask_json(address, "/text") is None
        assert ask_json(address, "/nothing") is None
        assert ask(address, "/nothing")[0] == 404


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9", "http://127.0.0.1:none", "ftp://127.0.0.1", "127.0.0.1:80"]
)
def test_nobody_there(address: str) -> None:
    with pytest.raises(ServerFault, match=r"expected .* found"):
        ask(address, "/info")
