"""service.requests.gate: what is refused before there is a request, and what the application
judges.
"""

from typing import Any

import pytest

from service.access.access import Access
from service.classification.predictor import Predictor
from service.memory.ledger import Account
from service.metrics.metrics import Metrics
from service.requests.gate import Gate
from service.settings.settings import Settings
from service.work.admission import Admission
from service.work.lifecycle import Lifecycle
from tests.service.servers import ServerThread, wait_for
from tests.service.wire import Wire, get, post, post_head

MIB = 2**20


class Load:
    """A scheduler with a full queue."""

    workers = busy = 1
    waiting = 64

    def count_waiting(self, caller: object) -> int:
        return 0

    def predict_wait(self) -> float:
        return 1.5


class Street:
    """A gate and what is behind it."""

    def __init__(self) -> None:
        settings = Settings()
        self.load, self.metrics, self.lifecycle = Load(), Metrics(), Lifecycle(60)
        self.lifecycle.finish_start()
        self.bodies = Account(100 * MIB)
        parts: Any = (self.load, Predictor(), self.bodies, self.metrics, 64)
        self.gate = Gate(
            *(settings, self.metrics, self.lifecycle, Admission(*parts)),
            *(Access(settings, "127.0.0.1"), frozenset({b"/classify", b"/classify/batch"})),
        )

    def ask(
        self, target: bytes = b"/classify", method: bytes = b"POST", **headers: str
    ) -> tuple[str, str] | None:
        """Code and request id of the refusal; None: the application is to judge."""
        every = {"host": "localhost", "content-length": "1000"}
        every |= {name.replace("_", "-"): value for name, value in headers.items()}
        pairs = [(name.encode(), value.encode()) for name, value in every.items()]
        refusal = self.gate.refuse(method, target, {"type": "http", "headers": pairs})
        if refusal is None:
            return None
        problem, context = refusal
        return problem.code, context.request_id

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def street() -> Street:
    """With a full queue."""
    return Street()


@pytest.mark.parametrize(
    "target", [b"/classify", b"/classify/batch", b"/classify?top_k=3", b"/classify?"]
)
def test_a_full_queue_is_said_at_the_gate(street: Street, target: bytes) -> None:
    assert street.ask(target, x_request_id="mine") == ("overloaded", "mine")
    assert street.count("bnn_rejections_total", reason="queue") == 1
    assert street.count("bnn_problems_total", code="overloaded") == 1
    route = target.partition(b"?")[0].decode()
    labels = {"route": route, "method": "POST", "status": "429"}
    assert street.count("bnn_requests_total", **labels) == 1
    assert street.bodies.held == 0


def test_who_names_a_model_is_left_to_the_application(street: Street) -> None:
    """Its images may take less time than the default model's."""
    assert street.ask(b"/classify?model=birds") is None
    assert street.ask(b"/classify?%6dodel=birds") is None


def test_an_unknown_length_is_no_obstacle(street: Street) -> None:
    assert street.ask(content_length="") is not None
    assert street.ask(content_length="9" * 100) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"target": b"/livez"},
        {"target": b"/nowhere"},
        {"target": b"/classify/"},
        {"method": b"GET"},
        {"origin": "https://elsewhere.example"},  # the answer needs headers that CORS adds
        {"x_deadline_ms": "never"},
        {"x_deadline_ms": "0"},
        {"x_deadline_ms": "60001"},
        {"x_deadline_ms": "9" * 100},
    ],
)
def test_what_is_left_to_the_application(street: Street, changes: dict[str, Any]) -> None:
    assert street.ask(**changes) is None
    assert street.count("bnn_rejections_total", reason="queue") == 0


def test_where_there_is_room_it_judges_nothing(street: Street) -> None:
    street.load.waiting = 0
    assert street.ask() is None
    street.bodies.take(60 * MIB)
    assert street.ask() is None, "half full of bodies: there is room for this one"
    street.bodies.take(40 * MIB)
    assert street.ask() is not None
    assert street.count("bnn_rejections_total", reason="bytes") == 1


def test_before_the_start_and_at_the_end_it_judges_nothing() -> None:
    street = Street()
    street.lifecycle.is_started = False
    assert street.ask() is None
    street.lifecycle.is_started = True
    street.lifecycle.refuse_new()
    assert street.ask() is None


def test_it_tells_of_a_drain(street: Street) -> None:
    assert not street.gate.is_draining
    street.lifecycle.begin_drain()
    assert street.gate.is_draining


# ---- over a socket


@pytest.fixture
def full(serve: Any, gated: Any, make_image: Any) -> Any:
    """A server whose only place in the queue is taken."""
    server = serve(gated, workers=1, queue_images=1, deadline_ms=60_000)
    gated.close()
    with Wire(server.address) as busy, Wire(server.address) as waiting:
        busy.send(post(make_image()))
        gated.wait_for_call()
        waiting.send(post(make_image()))
        wait_for(lambda: server.scheduler.waiting == 1)
        yield server
        gated.open()
        assert [wire.read().status for wire in (busy, waiting)] == [200, 200]


def test_refusals_on_one_connection(full: ServerThread, make_image: Any) -> None:
    data = make_image("blue")
    with Wire(full.address) as wire:
        for _ in range(3):
            wire.send(post(data, "X-Request-Id: mine"))
            reply = wire.read()
            assert (reply.status, reply.closes) == (429, False)
            assert reply.problem["request_id"] == "mine"
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.headers["x-content-type-options"] == "nosniff"
        wire.send(get())
        assert wire.read().status == 200
        wire.send(post(data) + get() + post(data) + get())
        assert [wire.read().status for _ in range(4)] == [429, 200, 429, 200]
        wire.send(post_head(None) + b"5\r\nhello\r\n0\r\n\r\n" + get())
        assert [wire.read().status for _ in range(2)] == [429, 200]
        offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA")
        wire.send(post(data, *offer) + get())
        assert [wire.read().status for _ in range(2)] == [429, 200]


@pytest.mark.parametrize(
    "header", ["Connection: close", "Expect: 100-continue", "Connection: close, Upgrade"]
)
def test_refusals_that_end_the_connection(full: ServerThread, make_image: Any, header: str) -> None:
    data = make_image()
    with Wire(full.address) as wire:
        wire.send(post_head(len(data), header))
        reply = wire.read()
        assert (reply.status, reply.closes) == (429, True)
        wire.send(data + post(data))
        assert wire.read_to_end() == b""
    with Wire(full.address) as wire:
        wire.send(post(data).replace(b"HTTP/1.1", b"HTTP/1.0") + get())
        reply = wire.read()
        assert (reply.status, reply.closes) == (429, True)
        assert wire.read_to_end() == b""


def test_a_refused_client_may_leave_in_any_way(full: ServerThread) -> None:
    for way in ("reset", "end", "close"):
        wire = Wire(full.address)
        wire.send(post_head(1000) + b"some")
        assert wire.read().status == 429
        getattr(wire, way)()
        wire.close()
    wait_for(lambda: len(full.server.connections) == 2)


def test_in_a_drain_the_body_is_read_before_the_refusal(full: ServerThread) -> None:
    full.lifecycle.begin_drain()
    with Wire(full.address) as wire:
        wire.send(post_head(1000))
        wire.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            wire.read()
    with Wire(full.address) as wire:
        wire.send(post_head(1000) + bytes(1000))
        reply = wire.read()
        assert (reply.status, reply.closes) == (429, True)
        assert wire.read_to_end() == b""


def test_a_fault_of_the_gate_is_told_in_the_log(
    full: ServerThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(full.app.state.gate, "refuse", fail)
    with Wire(full.address) as wire:
        wire.send(post(b"x"))
        assert wire.read().status == 400
    assert "a fault of ours" in caplog.text
