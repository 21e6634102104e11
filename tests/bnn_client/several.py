"""A real HTTP server that answers as a service with several models does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.bnn_client.answers import GOOD, MAP, MODELS, refuse


@dataclass
class Several:
    """A server that answers as a service with the models `first`, the default, and `second` does.

    `asked` has the path and parameters of each request. The first `busy` ones are refused.
    """

    url: str
    asked: list[tuple[str, dict[str, list[str]]]]
    busy: int = 0

    def answer(self, target: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers, body."""
        parts = urlsplit(target)
        parameters = parse_qs(parts.query)
        self.asked.append((parts.path, parameters))
        if self.busy > 0:
            self.busy -= 1
            return refuse(503, "draining", "0")
        if parts.path == "/models":
            return (200, {"Content-Type": "application/json"}, MODELS)
        name = parameters.get("model", ["first"])[-1]
        if name not in ("first", "second"):
            return refuse(404, "model_not_found")
        if "explain" in parameters:
            return MAP
        status, headers, body = GOOD
        answer = {**body, "model": {**body["model"], "name": name}}
        if parts.path == "/classify/batch":
            of_batch = ("model", "engine", "request_id")
            kept = {member: answer[member] for member in of_batch}
            answer = {**kept, "results": [], "timings_ms": {"receive": 1, "total": 1}}
        return status, headers, answer


@contextmanager
def open_several() -> Iterator[Several]:
    """The server, as long as the context is open."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = found.answer(self.path)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found = Several(f"http://127.0.0.1:{server.server_port}", [])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
