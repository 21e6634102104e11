"""The requests of `loadtests.soak`: kinds with weights, how each is sent, what may come of it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from loadtests.clients.http_client import (
    Answer,
    Connection,
    Lost,
    Pool,
    Request,
    build_request,
    chunk_body,
    connect,
)
from loadtests.clients.images import BOUNDARY, CONTENT_TYPE, build_image
from loadtests.clients.outcomes import Outcome, read_outcome
from loadtests.soak.files import OK, ImageFile

GIVE_UP_SECONDS = 60.0
#: Always in order: there is a queue, it may be full, the deadline may pass.
IN_ORDER = frozenset({429, 503, 504})
NO_ANSWER = "left without an answer, as meant"
_PIECES, _PAUSE_SECONDS = 8, 0.15
_EXPECT_SECONDS = 2.0
_STALL_SECONDS = 15.0
_BARE = "application/octet-stream"

Send = Callable[[Pool, bytes], Awaitable[Outcome | None]]


@dataclass(frozen=True)
class Planned:
    """One request to send: its kind, its bytes, how they are sent, the statuses allowed."""

    kind: str
    data: bytes
    send: Send
    allowed: frozenset[int]

    def judge(self, outcome: Outcome | None) -> tuple[str, bool]:
        """What became of it, and whether it may."""
        if outcome is None:
            return NO_ANSWER, True
        right = not outcome.lost and outcome.status in self.allowed | IN_ORDER
        return outcome.label, right


# ---- how requests are sent: each returns None where no answer is wanted --------------------------


async def send_whole(pool: Pool, data: bytes) -> Outcome | None:
    """At once, on a kept connection. Raises Lost, OSError, as all of these do."""
    due = perf_counter()
    connection = await pool.take(GIVE_UP_SECONDS)
    answer = await connection.exchange(data, GIVE_UP_SECONDS)
    pool.give_back(connection)
    return read_outcome(due, due, answer)


async def send_slowly(pool: Pool, data: bytes) -> Outcome | None:
    """In pieces, with pauses; an early answer ends it."""
    due = perf_counter()
    connection = await connect(pool.address, GIVE_UP_SECONDS)
    step = len(data) // _PIECES + 1
    answer = connection.begin(data[:step])
    for start in range(step, len(data), step):
        await asyncio.wait((answer,), timeout=_PAUSE_SECONDS)
        if answer.done():
            break
        connection.send(data[start : start + step])
    return read_outcome(due, due, await _finish(connection, answer))


async def send_expecting(pool: Pool, data: bytes) -> Outcome | None:
    """The body only when the server asks for it, or says nothing for a while."""
    due = perf_counter()
    head, blank, body = data.partition(b"\r\n\r\n")
    connection = await connect(pool.address, GIVE_UP_SECONDS)
    answer = connection.begin(head + b"\r\nExpect: 100-continue" + blank)
    await connection.wait_for_interim(_EXPECT_SECONDS)
    if not answer.done():
        connection.send(body)
    return read_outcome(due, due, await _finish(connection, answer))


async def send_half(pool: Pool, data: bytes) -> Outcome | None:
    """An upload that is cut off."""
    connection = await connect(pool.address, GIVE_UP_SECONDS)
    connection.begin(data[: len(data) // 2])
    await asyncio.sleep(0.01)
    connection.abort()
    return None


async def send_and_leave(pool: Pool, data: bytes) -> Outcome | None:
    """A client that does not wait for its answer."""
    connection = await connect(pool.address, GIVE_UP_SECONDS)
    connection.begin(data)
    await asyncio.sleep(0.002)
    connection.close()
    return None


async def send_and_stall(pool: Pool, data: bytes) -> Outcome | None:
    """Half of a body, then silence: an answer, or the end of the connection, are both in order."""
    due = perf_counter()
    connection = await connect(pool.address, GIVE_UP_SECONDS)
    try:
        answer = await connection.wait(connection.begin(data[: len(data) // 2]), _STALL_SECONDS)
    except Lost:
        return None
    finally:
        connection.close()
    return read_outcome(due, due, answer)


async def stay_silent(pool: Pool, data: bytes) -> Outcome | None:
    """A connection on which nothing is said."""
    connection = await connect(pool.address, GIVE_UP_SECONDS)
    await asyncio.sleep(0.5)
    connection.close()
    return None


async def _finish(connection: Connection, answer: "asyncio.Future[Answer]") -> Answer:
    try:
        return await connection.wait(answer, GIVE_UP_SECONDS)
    finally:
        connection.close()


# ---- what is sent --------------------------------------------------------------------------------


class Mix:
    """Draws requests: each kind has a weight."""

    def __init__(
        self, good: Sequence[ImageFile], bad: Sequence[ImageFile], batch: bool, seed: int
    ) -> None:
        self._good, self._bad = good, bad
        self._chance = random.Random(seed)
        self._draws: dict[str, tuple[float, Callable[[], Planned]]] = {
            "bare image": (30, self._draw_bare),
            "form": (30, self._draw_form),
            "chunked": (3, self._draw_chunked),
            "expecting 100": (2, self._draw_expecting),
            "slow body": (0.5, self._draw_slow),
            "no image": (8, self._draw_bad),
            "broken form": (5, self._draw_broken_form),
            "wrong request": (3, self._draw_wrong),
            "probe": (10, self._draw_probe),
            "cut upload": (3, self._draw_cut),
            "early leaver": (3, self._draw_leaver),
            "stalled": (0.05, self._draw_stalled),
            "silent": (0.5, self._draw_silent),
        }
        if batch:
            self._draws["batch"] = (3, self._draw_batch)

    def draw(self) -> Planned:
        """The next request."""
        names = list(self._draws)
        weights = [self._draws[name][0] for name in names]
        (name,) = self._chance.choices(names, weights)
        return self._draws[name][1]()

    def _pick(self) -> ImageFile:
        return self._chance.choice(self._good)

    def _draw_bare(self) -> Planned:
        file = self._pick()
        top_k = self._chance.choice(("", "?top_k=1", "?top_k=3"))
        return Planned("bare image", _bare(file, top_k).data, send_whole, file.allowed)

    def _draw_form(self) -> Planned:
        file = self._pick()
        return Planned("form", _form(file).data, send_whole, file.allowed)

    def _draw_chunked(self) -> Planned:
        file = self._pick()
        body = chunk_body(file.data, self._chance.choice((1000, 16_000, 100_000)))
        headers = {"Content-Type": _BARE, "Transfer-Encoding": "chunked"}
        data = build_request("POST", "/classify", body, headers).data
        return Planned("chunked", data, send_whole, file.allowed)

    def _draw_expecting(self) -> Planned:
        file = self._pick()
        return Planned("expecting 100", _bare(file).data, send_expecting, file.allowed)

    def _draw_slow(self) -> Planned:
        file = self._pick()
        return Planned("slow body", _bare(file).data, send_slowly, file.allowed | {408})

    def _draw_bad(self) -> Planned:
        file = self._chance.choice(self._bad)
        request = self._chance.choice((_bare, _form))(file)
        return Planned("no image", request.data, send_whole, file.allowed)

    def _draw_broken_form(self) -> Planned:
        data = self._chance.choice(_make_broken_forms(self._pick())).data
        return Planned("broken form", data, send_whole, frozenset({400}))

    def _draw_wrong(self) -> Planned:
        request, status = self._chance.choice(_make_wrong(self._pick()))
        return Planned("wrong request", request.data, send_whole, frozenset({status}))

    def _draw_probe(self) -> Planned:
        paths = ("/livez", "/readyz", "/metrics", "/info", "/openapi.json", "/")
        data = build_request("GET", self._chance.choice(paths)).data
        return Planned("probe", data, send_whole, OK)

    def _draw_cut(self) -> Planned:
        return Planned("cut upload", _form(self._pick()).data, send_half, OK)

    def _draw_leaver(self) -> Planned:
        return Planned("early leaver", _bare(self._pick()).data, send_and_leave, OK)

    def _draw_stalled(self) -> Planned:
        return Planned("stalled", _bare(self._pick()).data, send_and_stall, frozenset({408}))

    def _draw_silent(self) -> Planned:
        return Planned("silent", b"", stay_silent, OK)

    def _draw_batch(self) -> Planned:
        files = [self._pick(), self._pick(), self._chance.choice((self._pick, self._pick_bad))()]
        data = _join_form(files, "/classify/batch").data
        is_too_long = any(file.is_too_long for file in files)
        allowed = frozenset({413}) if is_too_long else OK  # other bad images have problems inside
        return Planned("batch", data, send_whole, allowed)

    def _pick_bad(self) -> ImageFile:
        return self._chance.choice(self._bad)


def find_batch(openapi: Any) -> bool:
    """Whether a service takes several images in one request, by its description."""
    paths = openapi.get("paths") if isinstance(openapi, dict) else None
    return isinstance(paths, dict) and "/classify/batch" in paths


def _bare(file: ImageFile, query: str = "") -> Request:
    return build_request("POST", f"/classify{query}", file.data, {"Content-Type": _BARE})


def _form(file: ImageFile) -> Request:
    body = build_image(file.name, file.data).body
    return build_request("POST", "/classify", body, {"Content-Type": CONTENT_TYPE})


def _join_form(files: Sequence[ImageFile], path: str) -> Request:
    """A form with several parts `image`."""
    closing = f"\r\n--{BOUNDARY}--\r\n".encode()
    bodies = [build_image(s.name, s.data).body.removesuffix(closing) for s in files]
    body = b"\r\n".join(bodies) + closing
    return build_request("POST", path, body, {"Content-Type": CONTENT_TYPE})


def _make_broken_forms(file: ImageFile) -> list[Request]:
    good = build_image(file.name, file.data).body
    kind = {"Content-Type": CONTENT_TYPE}

    def post(body: bytes, headers: dict[str, str] = kind) -> Request:
        return build_request("POST", "/classify", body, headers)

    return [
        post(good[:-6]),  # without its closing boundary
        post(good.replace(b'name="image"', b'name="photo"', 1)),
        post(good, {"Content-Type": "multipart/form-data"}),
        post(good, {"Content-Type": CONTENT_TYPE.replace("form-data", "mixed")}),
        post(good.replace(b"Content-Disposition", b"X-Nothing", 1)),
        _join_form([file, file], "/classify"),
        post(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n'
            f"--{BOUNDARY}--\r\n".encode()
        ),
    ]


def _make_wrong(file: ImageFile) -> list[tuple[Request, int]]:
    return [
        (build_request("GET", "/nosuch"), 404),
        (build_request("GET", "/classify"), 405),
        (build_request("PUT", "/classify", b"x"), 405),
        (_bare(file, "?top_k=0"), 422),
        (_bare(file, "?top_k=1000000"), 422),
        (_bare(file, "?top_k=many"), 422),
        (Request(b"this is no HTTP at all\r\n\r\n"), 400),
    ]


async def send(pool: Pool, planned: Planned) -> tuple[str, bool]:
    """Sends one request and judges what became of it. Raises OSError."""
    try:
        outcome = await planned.send(pool, planned.data)
    except Lost as lost:
        return str(lost.how), False
    return planned.judge(outcome)
