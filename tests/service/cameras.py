"""A small HTTP server for tests of the watch: cameras and receivers that do as they are told."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.service.wire import SECONDS

Answer = Callable[["Handler"], None]


@dataclass
class Request:
    """What was asked."""

    verb: str
    target: str
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """Records the request, and does what the server has as its `answer`."""

    server: "WebServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Any request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.command, self.path, headers, body))
        self.close_connection = True
        try:
            self.server.answer(self)
        except ConnectionError:  # who asked has gone
            return

    def do_POST(self) -> None:
        """As any other."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@dataclass
class WebServer(ThreadingHTTPServer):
    """A server on a free port; `answer` may be replaced at any time."""

    answer: Answer
    requests: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)

    __hash__ = ThreadingHTTPServer.__hash__

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve_web(answer: Answer) -> Iterator[WebServer]:
    """A server in a thread; at the end hanging answers are released."""
    server = WebServer(answer)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), name="web", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def give(content: bytes = b"", kind: str | None = "image/jpeg", status: int = 200) -> Answer:
    """Answers with this content."""

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        if kind is not None:
            handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def redirect(place: str) -> Answer:
    """Answers with another place."""

    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def stream(
    images: Iterable[bytes], boundary: str = "frame", hang: bool = False, lengths: bool = True
) -> Answer:
    """Answers with a stream of these images, and then ends, or hangs until the server ends."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        kind = f"multipart/x-mixed-replace; boundary={boundary}"
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        for image in images:
            length = f"Content-Length: {len(image)}\r\n" if lengths else ""
            head = f"--{boundary}\r\nContent-Type: image/jpeg\r\n{length}\r\n"
            handler.wfile.write(head.encode() + image + b"\r\n")
        if not lengths:
            handler.wfile.write(f"--{boundary}\r\n".encode())
        if hang:
            handler.server.released.wait(SECONDS)

    return answer


def hang(handler: Handler) -> None:
    """Never answers."""
    handler.server.released.wait(SECONDS)
