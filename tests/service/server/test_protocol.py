"""service.server.protocol: what clients do to a connection, byte by byte, over real sockets."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import service.server.protocol
import service.server.server
from tests.service.servers import ServerThread, wait_for
from tests.service.wire import Reply, Wire, get, post, post_head

MIB = 2**20
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")


@pytest.fixture
def wire(shared_server: ServerThread) -> Iterator[Wire]:
    """A connection to a server that never waits."""
    with Wire(shared_server.address) as wire:
        yield wire


def get_label(reply: Reply) -> str:
    """The best label of an answer."""
    assert reply.status == 200, reply
    label: str = json.loads(reply.body)["predictions"][0]["label"]
    return label


def is_usable(wire: Wire) -> bool:
    """Whether the connection takes another request."""
    wire.send(get("/livez"))
    return wire.read().status == 200


def reads_to_the_end(wire: Wire) -> bool:
    """Whether the server ends the connection, in order and without another byte."""
    return wire.read_to_end() == b""


# ---- ordinary clients


def test_a_connection_takes_one_request_after_another(wire: Wire, make_image: Any) -> None:
    for colour, label in (("red", "red"), ("lime", "green"), ("blue", "blue")):
        wire.send(post(make_image(colour)))
        reply = wire.read()
        assert get_label(reply) == label
        assert "connection" not in reply.headers
        wire.send(get("/nowhere"))
        assert wire.read().problem["code"] == "not_found"


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_request_may_come_in_any_pieces(wire: Wire, make_image: Any, step: int) -> None:
    data = post(make_image("blue", size=(8, 8))) + get("/livez")
    for at in range(0, len(data), step):
        wire.send(data[at : at + step])
    assert get_label(wire.read()) == "blue"
    assert wire.read().status == 200


def test_a_chunked_body(wire: Wire, make_image: Any) -> None:
    data = make_image("lime")
    wire.send(post_head(None))
    for at in range(0, len(data), 100):
        piece = data[at : at + 100]
        wire.send(b"%x;name=value\r\n" % len(piece) + piece + b"\r\n")
    wire.send(b"0\r\nTrailer: some\r\n\r\n")
    assert get_label(wire.read()) == "green"
    assert is_usable(wire)


def test_pipelined_requests_are_answered_in_their_order(wire: Wire, make_image: Any) -> None:
    colours = ["red", "lime", "blue"] * 3
    wire.send(b"".join(post(make_image(colour)) + get("/livez") for colour in colours))
    for label in ["red", "green", "blue"] * 3:
        assert get_label(wire.read()) == label
        assert wire.read().body == b'{"status": "ok"}'
    assert is_usable(wire)


def test_head_has_the_headers_of_get_and_no_body(wire: Wire) -> None:
    for path in ("/", "/info", "/metrics", "/openapi.json", "/livez", "/nowhere", "/classify"):
        wire.send(get(path, method="HEAD"))
        reply = wire.read(with_body=False)
        assert reply.status == {"/nowhere": 404, "/classify": 405}.get(path, 200)
        assert int(reply.headers["content-length"]) > 0
        assert is_usable(wire), "a body would have been taken for the next answer"


@pytest.mark.parametrize(
    "request_head", [get("/livez", "Connection: close"), get("/livez", version="1.0")]
)
def test_a_client_that_wants_one_answer_gets_one(wire: Wire, request_head: bytes) -> None:
    wire.send(request_head)
    reply = wire.read()
    assert (reply.status, reply.closes) == (200, True)
    assert reads_to_the_end(wire)


def test_what_it_pipelines_behind_the_last_one_is_not_served(
    shared_server: ServerThread, wire: Wire, make_image: Any
) -> None:
    before = len(shared_server.engine.asked)
    wire.send(get("/livez", "Connection: close") + post(make_image()))
    assert wire.read().closes
    assert reads_to_the_end(wire)
    assert len(shared_server.engine.asked) == before


def test_a_client_that_waits_to_be_asked_for_its_body(wire: Wire, make_image: Any) -> None:
    data = make_image("blue")
    wire.send(post_head(len(data), "Expect: 100-continue"))
    assert wire.read_line() == b"HTTP/1.1 100 Continue\r\n"
    assert wire.read_line() == b"\r\n"
    wire.send(data)
    reply = wire.read()
    assert (get_label(reply), reply.closes) == ("blue", False)
    assert is_usable(wire)
    wire.send(post(data, "Expect: 100-continue").replace(b"/1.1", b"/1.0", 1))
    assert wire.read_line() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("step", [1, 100_000])
def test_offers_of_another_protocol_are_passed_over(wire: Wire, make_image: Any, step: int) -> None:
    """curl --http2 and Java's HttpClient offer HTTP/2 with their first request, and its body."""
    body = make_image("blue", size=(8, 8))
    chunked = post_head(None, *H2C) + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    for data, status in (
        (post(body, *H2C), 200),
        (chunked, 200),
        (get("/livez", *H2C), 200),
        (post(b"", *H2C), 400),
        (get("/livez", "Connection: upgrade", "Upgrade: websocket"), 200),
        (post(body), 200),
    ):
        for at in range(0, len(data), step):
            wire.send(data[at : at + step])
        reply = wire.read()
        assert reply.status == status
        assert not reply.closes
    assert is_usable(wire)


def test_many_offers_at_once(wire: Wire, make_image: Any) -> None:
    wire.send(get("/livez", *H2C) * 30 + post(make_image(), *H2C) + get("/livez"))
    assert [wire.read().status for _ in range(32)] == [200] * 32
    wire.send(get("/livez", *H2C) * 1000)
    assert wire.read().status == 200


# ---- refusals


def send_all(wire: Wire, data: bytes) -> threading.Thread:
    """Sends in a thread: a client that reads its answer meanwhile."""
    thread = threading.Thread(target=wire.send, args=(data,))
    thread.start()
    return thread


def test_a_refusal_reaches_a_client_that_is_still_sending(serve: Any, make_image: Any) -> None:
    """Whether it reads the answer before it sends the body or after that, or both at once."""
    server = serve(max_body_bytes=10 * MIB)
    server.app.state.admission.bodies.capacity = MIB
    with Wire(server.address) as wire:
        for size, status in ((5 * MIB, 429), (11 * MIB, 413), (MIB, 429)):
            for way in ("answer first", "body first", "at once"):
                wire.send(post_head(size))
                if way == "answer first":
                    reply = wire.read()
                    wire.send(bytes(size))
                else:
                    sending = send_all(wire, bytes(size))
                    if way == "body first":
                        sending.join()
                    reply = wire.read()
                    sending.join()
                assert (reply.status, reply.closes) == (status, False)
                assert reply.problem["code"] == ("overloaded" if status == 429 else "too_large")
                assert ("retry-after" in reply.headers) is (status == 429)
                wire.send(post(make_image("blue")))
                assert get_label(wire.read()) == "blue"


def test_a_chunked_body_is_cut_off_where_it_becomes_too_large(
    shared_server: ServerThread, wire: Wire
) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    sending = send_all(wire, post_head(None) + chunk * 320 + b"0\r\n\r\n")
    reply = wire.read()
    assert (reply.status, reply.closes) == (413, False)
    sending.join()
    assert is_usable(wire)
    assert shared_server.held == 0


@pytest.mark.parametrize("way", ["Connection: close", "1.0"])
@pytest.mark.parametrize("path", ["/classify", "/nowhere", "/livez"])
def test_a_refusal_that_ends_the_connection_is_no_reset(wire: Wire, way: str, path: str) -> None:
    """Closing over unread bytes resets the connection, and the client may lose the answer."""
    head = post_head(11 * MIB, *([way] if way != "1.0" else []), path=path)
    wire.send(head.replace(b"HTTP/1.1", b"HTTP/1.0") if way == "1.0" else head)
    wire.send(bytes(11 * MIB))
    reply = wire.read()
    assert reply.status in (404, 405, 413)
    assert reply.closes
    assert reads_to_the_end(wire)


def test_a_refusal_of_a_body_that_was_not_asked_for_ends_the_connection(wire: Wire) -> None:
    """What comes next would be taken for the body."""
    wire.send(post_head(11 * MIB, "Expect: 100-continue"))
    reply = wire.read()
    assert (reply.status, reply.closes) == (413, True)
    wire.end()
    assert reads_to_the_end(wire)


def test_a_client_that_sends_a_body_nobody_asked_for_gets_the_refusal(wire: Wire) -> None:
    wire.send(post_head(11 * MIB, "Expect: 100-continue") + bytes(11 * MIB))
    reply = wire.read()
    assert (reply.status, reply.closes) == (413, True)
    assert reads_to_the_end(wire)


def test_a_refused_body_without_end_is_not_read_for_ever(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.server.protocol, "MAX_DISCARDED_BYTES", MIB)
    server = serve()
    with Wire(server.address) as wire:
        wire.send(post_head(2**40))
        assert wire.read().status == 413
        with pytest.raises(ConnectionError):
            wire.send_for_ever(bytes(MIB))
    monkeypatch.setattr(service.server.server, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(service.server.protocol, "DISCARD_SECONDS", 0.1)
    with Wire(server.address) as wire:
        wire.send(post_head(2**40))
        assert wire.read().status == 413
        assert reads_to_the_end(wire)
    wait_for(lambda: not server.server.connections)


# ---- what is no request


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"nonsense\r\n\r\n", "malformed_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "malformed_request"),  # TLS
        (b"GET /livez HTTP/9.9\r\n\r\n", "malformed_request"),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n", "malformed_request"),
        (b"GET http://host HTTP/1.1\r\n\r\n", "malformed_request"),
        (b"CONNECT host:80 HTTP/1.1\r\n\r\n", "malformed_request"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "malformed_request"),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "malformed_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "malformed_request"),
        (post_head(5, "Content-Length: 6"), "malformed_request"),
        (post_head(5, "Transfer-Encoding: chunked"), "malformed_request"),
        (post_head(5).replace(b": 5", b": -5"), "malformed_request"),
        (get("/", "Transfer-Encoding: gzip", method="POST"), "malformed_request"),
        (post_head(None) + b"no number\r\n", "malformed_request"),
        (get("/", "A: " + "b" * 70_000), "headers_too_large"),
        (get("/" + "a" * 70_000), "headers_too_large"),
        (get("/", *["A: b"] * 20_000), "headers_too_large"),
        (get("/", *["A:"] * service.server.protocol.MAX_HEADERS), "headers_too_large"),
    ],
)
@pytest.mark.parametrize("step", [1000, 10**6])
def test_what_is_no_request_is_answered_with_a_problem(
    shared_server: ServerThread, wire: Wire, data: bytes, code: str, step: int
) -> None:
    before = shared_server.count("bnn_malformed_requests_total", code=code)
    for at in range(0, len(data), step):
        wire.send(data[at : at + step])
    reply = wire.read()
    assert reply.problem["code"] == code
    assert reply.closes
    assert reads_to_the_end(wire)
    assert shared_server.count("bnn_malformed_requests_total", code=code) == before + 1


def test_large_heads_are_taken_up_to_the_bound(wire: Wire) -> None:
    for _ in range(3):
        wire.send(get("/livez", "A: " + "b" * 60_000))
        assert wire.read().status == 200


def test_nonsense_behind_a_request_does_not_take_its_answer(
    serve: Any, gated: Any, make_image: Any
) -> None:
    server = serve(gated)
    gated.close()
    with Wire(server.address) as wire:
        wire.send(post(make_image("blue")))
        gated.wait_for_call()
        wire.send(b"nonsense\r\n\r\n")
        time.sleep(0.05)
        gated.open()
        reply = wire.read()
        assert get_label(reply) == "blue"
        assert reply.closes
        assert reads_to_the_end(wire), "the nonsense has no answer: the one before was the last"


def test_nonsense_in_a_refused_body_does_not_add_an_answer(wire: Wire) -> None:
    wire.send(post_head(None, path="/nowhere"))
    assert wire.read().status == 404
    wire.send(b"no number\r\n")
    assert reads_to_the_end(wire)


def test_headers_of_requests_that_wait_have_a_bound_together(
    serve: Any, gated: Any, make_image: Any
) -> None:
    server = serve(gated)
    gated.close()
    with Wire(server.address) as wire:
        many = get("/livez", *["A:"] * (service.server.protocol.MAX_HEADERS - 1))
        wire.send(many)
        assert wire.read().status == 200
        wire.send(post(make_image("blue")))
        gated.wait_for_call()
        wire.send(many * 2)
        wait_for(lambda: server.count("bnn_malformed_requests_total", code="headers_too_large"))
        gated.open()
        assert get_label(wire.read()) == "blue"


def test_headers_behind_a_body_have_a_bound(shared_server: ServerThread, wire: Wire) -> None:
    before = shared_server.count("bnn_malformed_requests_total", code="headers_too_large")
    wire.send(post_head(None) + b"1\r\nx\r\n0\r\n")
    sending = send_all(wire, b"A: b\r\n" * 100_000)
    reply = wire.read()
    assert (reply.problem["code"], reply.closes) == ("headers_too_large", True)
    sending.join()
    assert shared_server.count("bnn_malformed_requests_total", code="headers_too_large") > before


def test_a_client_may_not_send_requests_ahead_without_bound(
    serve: Any, gated: Any, make_image: Any
) -> None:
    """Each takes some kilobytes until it is answered, and a few bytes to send."""
    server = serve(gated)
    gated.close()
    with Wire(server.address) as wire:
        wire.send(post(make_image("blue")))
        gated.wait_for_call()
        wire.send(get("/livez") * 1000)
        wait_for(lambda: server.count("bnn_malformed_requests_total", code="malformed_request"))
        gated.open()
        assert get_label(wire.read()) == "blue"
        replies = [wire.read() for _ in range(service.server.protocol.MAX_AHEAD)]
        assert {reply.status for reply in replies} == {200}
        assert [reply.closes for reply in replies].index(True) == len(replies) - 1
        assert reads_to_the_end(wire)


def test_nothing_is_read_while_requests_wait_for_those_before_them(
    serve: Any, gated: Any, make_image: Any
) -> None:
    server = serve(gated)
    gated.close()
    with Wire(server.address) as wire:
        wire.send(post(make_image("blue")) + get("/livez"))
        gated.wait_for_call()
        wire.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            wire.send_for_ever(post(bytes(MIB), path="/nowhere"))
        gated.open()
        wire.socket.settimeout(60)
        assert get_label(wire.read()) == "blue"
        assert wire.read().status == 200


FRAGMENTS = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/classify", b"/livez", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n"),
        *(b"Host: x\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"abc"),
        *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n"),
        *(b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"\0", b"\r", b": ", b"A: b\r\n"),
        *(get("/livez"), post(b"abc"), post_head(3), post_head(None), get("/livez", *H2C)),
    ]
)


@settings(max_examples=150)
@given(st.lists(st.one_of(FRAGMENTS, st.binary(max_size=4)), max_size=12), st.booleans())
def test_any_bytes_get_answers_or_an_end(
    shared_server: ServerThread, fragments: list[bytes], resets: bool
) -> None:
    with Wire(shared_server.address) as wire:
        try:
            for fragment in fragments:
                wire.send(fragment)
            if resets:
                wire.reset()
                return
            wire.end()
            received = wire.read_to_end()
        except OSError:
            pass
        else:
            assert received == b"" or received.startswith(b"HTTP/1.1 ")
            assert b"\r\nHTTP/1.1 500" not in received
    wait_for(lambda: not shared_server.server.connections)
    wait_for(lambda: shared_server.held == 0)


# ---- time


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server looks at its connections more often than once a second."""
    monkeypatch.setattr(service.server.server, "_SWEEP_SECONDS", 0.05)


def drip(wire: Wire, stop: threading.Event) -> None:
    """Sends a byte now and then, until it is told to stop or the connection is ended."""
    try:
        while not stop.wait(0.02):
            wire.send(b"A")
    except OSError:
        pass


@pytest.mark.usefixtures("attentive")
def test_a_head_has_a_time(serve: Any) -> None:
    """Half a head and a dripped one, as the first request and as a later one."""
    server = serve(header_timeout_ms=300)
    stop = threading.Event()
    half = b"GET /livez HTTP/1.1\r\nA: "
    beginnings = (b"P", half, half, get("/livez") + b"P", get("/livez") + half)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.address)) for _ in beginnings]
        threads = [threading.Thread(target=drip, args=(wires[i], stop)) for i in (2, 4)]
        for wire, beginning in zip(wires, beginnings, strict=True):
            wire.send(beginning)
        for thread in threads:
            thread.start()
        for wire in wires[3:]:
            assert wire.read().status == 200
        for wire in wires:
            reply = wire.read()
            assert (reply.problem["code"], reply.closes) == ("header_timeout", True)
        stop.set()
        for thread in threads:
            thread.join()
    assert server.count("bnn_malformed_requests_total", code="header_timeout") == 5


@pytest.mark.usefixtures("attentive")
def test_a_silent_connection_is_ended(serve: Any) -> None:
    """Line ends are no requests: neither before the first nor between two."""
    server = serve(header_timeout_ms=300, idle_timeout_ms=400)
    with ExitStack() as stack:
        for before in (b"", get("/livez")):
            for blanks in (b"", b"\r\n", b"\r\n\r\n"):
                wire = stack.enter_context(Wire(server.address))
                wire.send(before)
                assert not before or wire.read().status == 200
                wire.send(blanks)
        wires = list(server.server.connections)
        assert len(wires) == 6
        wait_for(lambda: not server.server.connections)


@pytest.mark.usefixtures("attentive")
def test_a_connection_may_idle_for_longer_than_a_head_may_take(serve: Any) -> None:
    """Also after a body that was refused, by the application or before."""
    server = serve(header_timeout_ms=100, idle_timeout_ms=3_600_000, max_body_bytes=MIB)
    plain, wire, crowded = (Wire(server.address) for _ in range(3))
    with plain, wire, crowded:
        assert is_usable(plain)
        wire.send(post_head(2 * MIB))
        assert wire.read().status == 413
        wire.send(bytes(2 * MIB))
        server.app.state.admission.bodies.capacity = -1  # nobody gets in
        crowded.send(post_head(2000))
        assert crowded.read().status == 429
        crowded.send(bytes(2000))
        time.sleep(0.5)
        assert all(is_usable(one) for one in (plain, wire, crowded))


def test_a_body_that_stays_away_is_a_408(serve: Any) -> None:
    server = serve(body_idle_timeout_ms=100)
    with Wire(server.address) as wire:
        wire.send(post_head(1000) + b"\xff\xd8")
        reply = wire.read()
        assert (reply.problem["code"], reply.closes) == ("body_timeout", True)
        wire.end()
        assert reads_to_the_end(wire)
    assert server.held == 0


def test_steady_progress_may_take_longer_than_silence(serve: Any, make_image: Any) -> None:
    server = serve(body_idle_timeout_ms=1500)
    data = make_image("blue")
    with Wire(server.address) as wire:
        wire.send(post_head(len(data)))
        for start in range(4):
            time.sleep(0.6)
            wire.send(data[start * 200 : (start + 1) * 200 if start < 3 else None])
        assert get_label(wire.read()) == "blue"


def test_a_client_that_does_not_read_is_cut_off(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.server.server, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(service.server.protocol, "WRITE_SECONDS", 0.3)
    server = serve()
    large = get("/openapi.json", "A: " + "b" * 16_000)  # not too many of them in one piece
    with Wire(server.address) as wire, pytest.raises(ConnectionError):
        wire.send_for_ever(large)
    wait_for(lambda: not server.server.connections)
    wait_for(lambda: server.count("bnn_requests_in_flight") == 0)
    assert server.count("bnn_malformed_requests_total", code="malformed_request") == 0


# ---- clients that leave


def test_a_client_that_sends_nothing_more_gets_its_answer(
    serve: Any, gated: Any, make_image: Any
) -> None:
    server = serve(gated, workers=1)
    gated.close()
    with Wire(server.address) as first, Wire(server.address) as half_closed:
        first.send(post(make_image("red")))
        gated.wait_for_call()
        half_closed.send(post(make_image("blue")))
        half_closed.end()
        wait_for(lambda: server.scheduler.waiting == 1)
        gated.open()
        assert get_label(first.read()) == "red"
        reply = half_closed.read()
        assert get_label(reply) == "blue"
        assert reply.closes
        assert reads_to_the_end(half_closed)


def test_requests_that_are_pipelined_before_the_end_are_answered(
    shared_server: ServerThread, wire: Wire, make_image: Any
) -> None:
    wire.send(post(make_image("red")) + get("/livez") + post(make_image("blue")))
    wire.end()
    assert get_label(wire.read()) == "red"
    assert wire.read().status == 200
    assert get_label(wire.read()) == "blue"
    assert reads_to_the_end(wire)


def test_half_a_body_and_the_end_is_a_client_that_left(serve: Any) -> None:
    server = serve()
    with Wire(server.address) as wire:
        wire.send(post_head(1000) + b"\xff\xd8")
        wait_for(lambda: server.held > 0)
        wire.end()
        assert reads_to_the_end(wire)
    wait_for(lambda: server.count("bnn_requests_in_flight") == 0)
    labels = {"route": "/classify", "method": "POST", "status": "499"}
    assert server.count("bnn_requests_total", **labels) == 1
    assert server.held == 0


@pytest.mark.parametrize("behind", [b"", get("/livez")])
def test_a_client_that_is_reset_while_its_image_waits_is_not_computed_for(
    serve: Any, gated: Any, make_image: Any, behind: bytes
) -> None:
    server = serve(gated, workers=1)
    gated.close()
    with Wire(server.address) as first:
        first.send(post(make_image()))
        gated.wait_for_call()
        leaving = Wire(server.address)
        leaving.send(post(make_image()) + behind)
        wait_for(lambda: server.scheduler.waiting == 1)
        leaving.reset()
        if not behind:  # behind a pipelined request nobody listens until the first is answered
            wait_for(lambda: server.scheduler.waiting == 0)
            assert server.count("bnn_dropped_images_total") == 1
        gated.open()
        assert first.read().status == 200
    wait_for(lambda: server.count("bnn_requests_in_flight") == 0)
    assert len(gated.asked) == (2 if behind else 1)
