"""A server in front of services with one model each, which answers as one service with all does."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx

from service.problems import MEDIA_TYPE, Problem, encode_problem
from service.schemas import ModelsBody, ServedModelBody


@dataclass
class Several:
    """URLs of the services by their models' names, the default first; `asked`: what was asked."""

    services: dict[str, str]
    address: tuple[str, int] = ("127.0.0.1", 0)
    asked: list[str] = field(default_factory=list)

    def list_models(self) -> bytes:
        """The answer to GET /models."""
        models = []
        for name, url in self.services.items():
            info = httpx.get(f"{url}/info").json()
            model = {member: info["model"][member] for member in ("id", "trained", "classes")}
            engine = "{name}/{implementation}".format(**info["engine"])
            is_default = name == next(iter(self.services))
            whole = {**model, "name": name, "engine": engine, "is_newest": True}
            models.append(ServedModelBody(**whole, is_default=is_default))
        return ModelsBody(models=models, failed=[]).model_dump_json().encode()

    def pass_on(self, method: str, target: str, body: bytes, kind: str) -> httpx.Response:
        """The answer of the service whose model is named, or of the default's."""
        names = parse_qs(urlsplit(target).query).get("model", list(self.services))
        if names[0] not in self.services:
            content, _ = encode_problem(Problem("model_not_found", "expected another."), "abc")
            return httpx.Response(404, content=content, headers={"Content-Type": MEDIA_TYPE})
        headers = {"Content-Type": kind} if kind else {}
        url = f"{self.services[names[0]]}{target}"
        return httpx.request(method, url, content=body, headers=headers)


@contextmanager
def open_several(services: dict[str, str]) -> Iterator[Several]:
    """The server, as long as the context is open."""
    several = Several(services)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            several.asked.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/models":
                self.answer(200, {"Content-Type": "application/json"}, several.list_models())
                return
            kind = self.headers.get("Content-Type", "")
            answer = several.pass_on(self.command, self.path, body, kind)
            kept = {name: value for name, value in answer.headers.items() if name != "date"}
            self.answer(answer.status_code, kept, answer.content)

        def do_POST(self) -> None:
            self.do_GET()

        def answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        several.address = ("127.0.0.1", server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield several
        finally:
            server.shutdown()
            thread.join()
