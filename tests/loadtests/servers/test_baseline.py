"""Memory before the model: of the service by a real process, of a peer by a small server."""

import sys
from pathlib import Path

import pytest

from loadtests.servers.baseline import (
    measure_no_model,
    measure_server_no_model,
)
from loadtests.servers.server import ServerSpec

pytestmark = pytest.mark.anyio
MIB = 2**20
SERVER = """
import http.server, os, sys
assert os.environ["PEER_MODEL"] == "none"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
block = bytearray(b"x") * (32 * 2**20)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


async def test_service_before_its_model(repository: Path) -> None:
    assert 20 * MIB <= await measure_no_model(sys.executable, repository, "native") <= 120 * MIB


async def test_server_is_told_to_load_nothing(tmp_path: Path) -> None:
    spec = ServerSpec("peer", (sys.executable, "-c", SERVER, "{port}"), tmp_path)
    assert 36 * MIB <= await measure_server_no_model(spec) <= 100 * MIB
