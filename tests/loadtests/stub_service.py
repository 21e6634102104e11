"""A small server that answers like the service, as fast or as badly as a test wants."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import uvicorn

ANSWER = {
    "predictions": [{"label": "cat", "index": 3, "score": 0.9}],
    "engine": "native/generic",
    "request_id": "0",
}


@dataclass
class StubService:
    """Answers POST like the service does, or with the status it is told; GET from `pages`."""

    status: int = 200
    retry_after: bool = False
    hold: bool = False  # nothing is answered while it is
    delay: float = 0.02  # seconds: a generator of a test is not to be the limit
    one_by_one: bool = False  # answers take turns, so that 1 / delay is the highest rate
    stall: tuple[float, float] | None = None  # begin and end, seconds after the first request
    pages: dict[str, object] = field(default_factory=dict)
    cpu_per_image: float = 0.0  # what /metrics tells, if more than 0
    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    bodies: set[bytes] = field(default_factory=set)
    headers: list[dict[bytes, bytes]] = field(default_factory=list)
    stalled: int = 0  # requests that came while it stalled
    _began: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["method"] == "GET":
            await self._get(scope["path"], send)
            return
        self.requests[scope["method"], scope["path"], scope["query_string"].decode()] += 1
        headers = dict(scope["headers"])
        self.headers.append(headers)
        self.types[headers[b"content-type"].decode().partition(";")[0]] += 1
        self.bodies.add(body)
        await self._wait()
        lines = [(b"content-type", b"application/json"), (b"x-time-infer-ms", b"1.500")]
        if self.retry_after:
            lines.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": self.status, "headers": lines})
        await send({"type": "http.response.body", "body": json.dumps(ANSWER).encode()})

    async def _wait(self) -> None:
        now = monotonic()
        self._began = self._began or now
        while self.hold:
            await asyncio.sleep(0.01)
        if self.stall and self.stall[0] <= now - self._began < self.stall[1]:
            self.stalled += 1
            await asyncio.sleep(self._began + self.stall[1] - now)
        if self.one_by_one:
            async with self._lock:
                await asyncio.sleep(self.delay)
        else:
            await asyncio.sleep(self.delay)

    async def _get(self, path: str, send: Any) -> None:
        page = self.pages.get(path)
        if path == "/metrics" and self.cpu_per_image:
            seconds = self.cpu_per_image * self.requests.total()
            page = f"process_cpu_seconds_total {seconds}\nprocess_resident_memory_bytes 5e+07\n"
        status = 404 if page is None else 200
        text = page if isinstance(page, str) else json.dumps(page)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})


@contextmanager
def run_stub(service: StubService) -> Iterator[str]:
    """Runs it; gives its address."""
    config = uvicorn.Config(service, port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    listener.listen()  # who comes before the server runs waits
    loop = asyncio.new_event_loop()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(server.serve(sockets=[listener]))
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        loop.close()
        listener.close()
