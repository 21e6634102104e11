"""service.server.server: bounds on connections, and an end that loses nothing, over real
sockets.
"""

import asyncio
import json
import resource
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

import service.requests.front
import service.server.eviction
import service.server.protocol
import service.server.server
from service.repository.changes import Changes
from service.server.server import bound_connections
from tests.service.servers import ServerProcess, wait_for
from tests.service.wire import Address, Wire, ask, get, post, post_head

RESERVED = service.server.server._SPARE + service.server.server._OTHER_FILES


def is_ended(wire: Wire) -> bool:
    """Whether the server has ended the connection, in whatever way."""
    try:
        return wire.read_to_end() == b""
    except ConnectionResetError:
        return True


def read_lines(server: ServerProcess) -> list[dict[str, Any]]:
    """The log."""
    return [json.loads(line) for line in server.log.splitlines()]


# ---- how many connections


@pytest.mark.parametrize(
    ("soft", "hard", "expected", "raised_to"),
    [
        (1024, 4096, 512, None),
        (256, 4096, 512, 512 + RESERVED),
        (256, resource.RLIM_INFINITY, 512, 512 + RESERVED),
        (256, 400, 400 - RESERVED, 400),
        (256, 256, 256 - RESERVED, None),
        (20, 20, 1, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 512, None),
    ],
)
def test_the_bound_fits_the_descriptors(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    soft: int,
    hard: int,
    expected: int,
    raised_to: int | None,
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert bound_connections(512) == expected
    changed = [limits for limits in set_to if limits != (soft, hard)]
    assert changed == ([] if raised_to is None else [(raised_to, hard)])
    assert bool(caplog.records) is (expected < 512)


def test_the_connection_that_idles_longest_makes_room(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.server.eviction, "ASK_SECONDS", 60)
    server = serve(max_connections=3)
    with ExitStack() as stack:

        def connect() -> Wire:
            wire = stack.enter_context(Wire(server.address))
            wire.send(get())
            assert wire.read().status == 200
            return wire

        first, second, third = (connect() for _ in range(3))
        first.send(get())
        assert first.read().status == 200
        newcomer = stack.enter_context(Wire(server.address))
        wait_for(lambda: len(server.server.connections) == 4)
        newcomer.send(get())
        assert newcomer.read().status == 200, "it had no time to ask, and the others were young"
        newcomer.close()
        wait_for(lambda: len(server.server.connections) == 3)
        monkeypatch.setattr(service.server.eviction, "ASK_SECONDS", 0)
        fourth = connect()
        assert is_ended(second)
        for wire in (first, third, fourth):
            wire.send(get())
            assert wire.read().status == 200
        assert server.count("bnn_evicted_connections_total") == 1


def test_connections_at_work_are_left_alone_and_probes_find_room(
    serve: Any, gated: Any, make_image: Any
) -> None:
    server = serve(gated, max_connections=3, workers=1, queue_images=100, deadline_ms=60_000)
    gated.close()
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.address)) for _ in range(6)]
        for wire in wires:
            wire.send(post(make_image("blue")))
        wait_for(lambda: server.scheduler.waiting == 5)
        for _ in range(100):  # each one on a connection of its own
            assert ask(server.address, get()).status == 200
        gated.open()
        assert [wire.read().status for wire in wires] == [200] * 6
    assert server.count("bnn_evicted_connections_total") == 0


def test_when_all_are_at_work_new_ones_wait(
    serve: Any,
    gated: Any,
    make_image: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(service.server.server, "_SPARE", 1)
    server = serve(gated, max_connections=1, workers=1, deadline_ms=60_000)
    gated.close()
    with ExitStack() as stack:
        wires = []
        for at_work in (1, 2, 2, 2):
            wires.append(stack.enter_context(Wire(server.address)))
            wires[-1].send(post(make_image("blue")))
            wait_for(lambda: server.scheduler.busy + server.scheduler.waiting == at_work)  # noqa: B023
        wait_for(lambda: "too many connections" in caplog.text)
        assert server.scheduler.waiting + server.scheduler.busy == 2
        gated.open()
        for wire in wires:
            wire.send(get("/livez", "Connection: close"))
            assert [wire.read().status for _ in range(2)] == [200] * 2


def test_a_flood_of_stalled_bodies(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They make room for each other at once: new connections never wait."""
    monkeypatch.setattr(service.server.server, "_SPARE", 4)
    monkeypatch.setattr(service.server.eviction, "ASK_SECONDS", 0)
    server = serve(max_connections=8)
    with ExitStack() as stack:
        for _ in range(60):
            wire = stack.enter_context(Wire(server.address))
            wire.send(post_head(1000) + b"some of it")
            assert ask(server.address, get()).status == 200
        assert len(server.server.connections) <= 13
        assert server.count("bnn_evicted_connections_total") >= 48
    assert "too many connections" not in caplog.text


def test_a_flood_of_silent_connections(start_server: Any, tiny: Any) -> None:
    """300 of them where 128 descriptors are: probes are answered, and the log stays readable."""
    server = start_server(descriptors=128, **tiny)
    address = server.address
    began = time.monotonic()
    with ExitStack() as stack:
        silent = [stack.enter_context(Wire(address)) for _ in range(300)]
        for _ in range(5):
            assert ask(address, get()).status == 200
        seconds = time.monotonic() - began
        metrics = ask(address, get("/metrics")).body.decode()
        assert "bnn_evicted_connections_total 0.0" not in metrics
    del silent
    assert ask(address, get()).status == 200
    assert server.stop()
    lines = read_lines(server)
    assert sum("fewer connections" in line["message"] for line in lines) == 1
    assert len(lines) < 20 + seconds
    assert "Traceback" not in server.log


@pytest.mark.parametrize("header", ["Connection: close", "Connection: keep-alive"])
def test_an_answer_that_is_not_taken_does_not_hold_a_closed_connection(
    serve: Any, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    """It is short: writing does not pause, and closing waits until all is sent."""
    monkeypatch.setattr(service.server.server, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(service.server.protocol, "WRITE_SECONDS", 0.5)
    server = serve(idle_timeout_ms=50)
    server.send_little_ahead()
    with Wire(server.address, takes=4096) as wire:
        wire.send(get("/openapi.json", header))
        wait_for(lambda: any(one.transport.is_closing() for one in server.server.connections))
        wait_for(lambda: not server.server.connections)
        with pytest.raises((AssertionError, ConnectionResetError)):  # it is cut off
            wire.read()


def test_closed_connections_whose_answers_are_not_taken_make_room(serve: Any) -> None:
    server = serve(max_connections=3)
    server.send_little_ahead()
    with ExitStack() as stack:
        for _ in range(3):
            wire = stack.enter_context(Wire(server.address, takes=4096))
            wire.send(get("/openapi.json", "Connection: close"))
        wait_for(lambda: sum(one.transport.is_closing() for one in server.server.connections) == 3)
        time.sleep(service.server.eviction.ASK_SECONDS)  # they are not new
        assert ask(server.address, get()).status == 200
        assert server.count("bnn_evicted_connections_total") == 1


def test_where_the_system_has_no_descriptors_left(start_server: Any, tiny: Any) -> None:
    server = start_server(**tiny)
    address = server.address
    pid = server.process.pid
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(address)) for _ in range(5)]
        for wire in wires:
            wire.send(get())
            assert wire.read().status == 200
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        began = time.monotonic()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (10, before[1]))
        wires += [stack.enter_context(Wire(address)) for _ in range(20)]
        wait_for(lambda: "the system accepts no more connections" in server.log)
        time.sleep(1.5)
        seconds = time.monotonic() - began
        complaints = [line for line in read_lines(server) if "no more" in line["message"]]
        assert 1 <= len(complaints) <= seconds + 1
        assert all(line["level"] == "warning" for line in complaints)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert ask(address, get()).status == 200
    server.stop()
    assert "Traceback" not in server.log


# ---- the end


def test_a_drain_goes_by_its_phases(
    serve: Any, make_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.requests.front, "_DISCARD_SECONDS", 0.2)
    server = serve(drain_delay_ms=1_000, grace_ms=60_000)
    with Wire(server.address) as wire, Wire(server.address) as idle, Wire(server.address) as fresh:
        for one in (wire, idle):
            one.send(get())
            assert not one.read().closes
        server.signal(signal.SIGTERM)
        wait_for(lambda: server.lifecycle.is_draining)
        wire.send(post(make_image("blue")))  # requests are taken, on old connections and new ones
        reply = wire.read()
        assert (reply.status, reply.closes) == (200, True)
        assert wire.read_to_end() == b""
        reply = ask(server.address, get("/readyz"))
        assert (reply.problem["code"], reply.closes) == ("draining", True)
        reply = ask(server.address, get("/livez"))
        assert (reply.status, reply.closes) == (200, True)
        reply = ask(server.address, post(make_image("red")))
        assert (reply.status, reply.closes) == (200, True)
        reply = ask(server.address, post_head(10**9) + bytes(1000))  # the body is read first
        assert (reply.status, reply.closes) == (413, True)
        assert idle.read_to_end() == b""
        assert fresh.read_to_end() == b""
        server.join()
    with pytest.raises(ConnectionRefusedError):
        Wire(server.address)


def test_what_is_in_flight_is_answered(serve: Any, gated: Any, make_image: Any) -> None:
    server = serve(gated, workers=1, drain_delay_ms=0, deadline_ms=60_000, grace_ms=60_000)
    gated.close()
    with ExitStack() as stack:
        computed, waiting, uploading, half_closed = (
            stack.enter_context(Wire(server.address)) for _ in range(4)
        )
        computed.send(post(make_image("blue")))
        gated.wait_for_call()
        waiting.send(post(make_image("blue")) + post(make_image("red")))
        half_closed.send(post(make_image("blue")))
        half_closed.end()
        data = make_image("blue")
        uploading.send(post_head(len(data)) + data[:100])
        wait_for(lambda: server.scheduler.waiting == 2 and server.held > 0)
        server.signal(signal.SIGTERM)
        wait_for(lambda: server.server._is_closed)
        uploading.send(data[100:])
        gated.open()
        for wire in (computed, waiting, uploading, half_closed):
            reply = wire.read()
            assert (reply.status, reply.closes) == (200, True)
            assert wire.read_to_end() == b"", "nor is what was pipelined behind it"
        server.join()


def test_what_cannot_be_finished_in_time_gets_a_problem(
    serve: Any, gated: Any, make_image: Any
) -> None:
    server = serve(gated, workers=1, drain_delay_ms=0, deadline_ms=60_000, grace_ms=300)
    gated.close()
    with ExitStack() as stack:
        computed, waiting, uploading, pipelining, half_closed = (
            stack.enter_context(Wire(server.address)) for _ in range(5)
        )
        computed.send(post(make_image("blue")))
        gated.wait_for_call()
        waiting.send(post(make_image("blue")))
        uploading.send(post_head(1000) + bytes(100))
        pipelining.send(post(make_image("blue")) + get() + post_head(10))
        half_closed.send(post(make_image("blue")))
        half_closed.end()
        wait_for(lambda: server.scheduler.waiting == 3)
        server.signal(signal.SIGTERM)
        for wire in (computed, waiting, uploading, pipelining, half_closed):
            reply = wire.read()
            assert (reply.problem["code"], reply.closes) == ("draining", True)
            assert "retry-after" in reply.headers
            assert wire.read_to_end() == b""
        gated.open()
        server.join()
    assert len(gated.asked) == 1


def test_a_worker_that_hangs_does_not_keep_the_service(
    serve: Any, gated: Any, make_image: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(gated, workers=1, drain_delay_ms=0, deadline_ms=60_000, grace_ms=200)
    gated.close()
    with Wire(server.address) as wire:
        wire.send(post(make_image()))
        gated.wait_for_call()
        server.signal(signal.SIGTERM)
        assert wire.read().problem["code"] == "draining"
        server.join()
    assert "a worker hangs and is left behind" in caplog.text
    gated.open()


@pytest.mark.parametrize("requests", [1, 30])  # all is written, or the rest waits for the client
def test_an_answer_that_is_not_taken_does_not_keep_the_service(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, requests: int
) -> None:
    monkeypatch.setattr(service.server.server, "_LAST_SECONDS", 0.2)
    server = serve(drain_delay_ms=0, grace_ms=200)
    server.send_little_ahead()
    with Wire(server.address, takes=4096) as wire:
        wire.send(get("/openapi.json") * requests)
        wait_for(
            lambda: any(c.transport.get_write_buffer_size() for c in server.server.connections)
        )
        server.signal(signal.SIGTERM)
        server.join()
    assert "graceful shutdown exceeded" not in caplog.text


def test_a_worker_that_hangs_does_not_get_the_grace_time_twice(
    serve: Any, gated: Any, make_image: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A supervisor ends by force what takes much longer than delay and grace."""
    server = serve(gated, workers=1, deadline_ms=60_000, grace_ms=600_000)
    gated.close()
    with Wire(server.address) as wire:
        wire.send(post(make_image()))
        gated.wait_for_call()
        server.signal(signal.SIGINT)
        wait_for(lambda: server.server._is_closed)
        server.signal(signal.SIGINT)
        assert wire.read().problem["code"] == "draining"
        wait_for(lambda: "hangs and is left behind" in caplog.text)
        server.join()
    gated.open()


def test_a_second_interrupt_does_not_wait(serve: Any, gated: Any, make_image: Any) -> None:
    """In order nevertheless: who has no answer gets a problem, not a cut connection."""
    server = serve(gated, workers=1, deadline_ms=60_000, grace_ms=600_000)
    gated.close()
    with Wire(server.address) as computed, Wire(server.address) as waiting:
        computed.send(post(make_image()))
        gated.wait_for_call()
        waiting.send(post(make_image()))
        wait_for(lambda: server.scheduler.waiting == 1)
        server.signal(signal.SIGINT)  # no delay at all
        wait_for(lambda: server.server._is_closed)
        server.signal(signal.SIGINT)
        for wire in (computed, waiting):
            assert wire.read().problem["code"] == "draining"
        gated.open()
        server.join()


def test_an_interrupt_cuts_a_drain_short(serve: Any) -> None:
    server = serve(drain_delay_ms=600_000)
    server.signal(signal.SIGTERM)
    wait_for(lambda: server.lifecycle.is_draining)
    server.signal(signal.SIGTERM)  # once more changes nothing
    time.sleep(0.3)
    assert ask(server.address, get()).status == 200
    server.signal(signal.SIGINT)
    server.join()


def test_a_client_that_has_just_connected_may_still_ask(serve: Any) -> None:
    server = serve(drain_delay_ms=0, grace_ms=60_000)
    with Wire(server.address) as wire:
        wait_for(lambda: server.server.connections)
        server.signal(signal.SIGTERM)
        wait_for(lambda: server.server._is_closed)
        wire.send(get())
        reply = wire.read()
        assert (reply.status, reply.closes) == (200, True)
    server.join()


# ---- processes, signals and many clients


class Caller(threading.Thread):
    """Asks again and again until nobody listens; notes statuses, and what was lost."""

    def __init__(
        self, address: Address, data: bytes, pause: float = 0.0, anew: bool = False
    ) -> None:
        super().__init__()
        self.statuses = Counter[int]()
        self.lost: list[str] = []
        self._address, self._data, self._pause, self._anew = address, data, pause, anew

    def run(self) -> None:
        """Returns when the listener is closed, or something was lost."""
        while not self.lost:
            try:
                wire = Wire(self._address)
            except ConnectionRefusedError:
                return
            with wire:
                try:
                    self._talk(wire)
                except (OSError, EOFError) as fault:
                    self.lost.append(repr(fault))

    def _talk(self, wire: Wire) -> None:
        while True:
            wire.send(self._data)
            reply = wire.read()
            self.statuses[reply.status] += 1
            if reply.closes or self._anew:
                return
            time.sleep(self._pause)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_the_end_loses_no_client(
    start_server: Any, tiny: Any, make_image: Any, by: signal.Signals
) -> None:
    server = start_server(BNN_DRAIN_DELAY_MS="800", **tiny)
    address = server.address
    data = post(make_image())
    callers = [Caller(address, data) for _ in range(6)]
    callers += [Caller(address, get(), pause=0.02) for _ in range(3)]
    callers += [Caller(address, data, anew=True) for _ in range(3)]
    for caller in callers:
        caller.start()
    time.sleep(0.5)
    server.send(by)
    for caller in callers:
        caller.join(60)
    assert server.wait() == 0
    assert [caller.lost for caller in callers] == [[]] * len(callers)
    statuses = sum((caller.statuses for caller in callers), Counter[int]())
    assert statuses[200] > len(callers)
    assert set(statuses) <= {200, 429, 503}
    (stopping,) = [line for line in read_lines(server) if line["message"] == "stopping"]
    (stopped,) = [line for line in read_lines(server) if line["message"] == "stopped"]
    assert stopping["delay_s"] == (0.8 if by is signal.SIGTERM else 0)
    assert stopped["seconds"] >= stopping["delay_s"]
    assert "Traceback" not in server.log


def test_a_second_interrupt_of_a_process(start_server: Any, tiny: Any) -> None:
    server = start_server(BNN_GRACE_MS="600000", **tiny)
    address = server.address
    with Wire(address) as wire:
        wire.send(post_head(1000) + bytes(100))
        wait_for(lambda: b"bnn_requests_in_flight 2.0" in ask(address, get("/metrics")).body)
        server.send(signal.SIGINT)
        wait_for(lambda: "stopping" in server.log)
        server.send(signal.SIGINT)
        assert wire.read().problem["code"] == "draining"
        assert server.wait() == 0
    assert "Traceback" not in server.log


def test_three_hundred_at_once_are_answered_or_turned_away(
    start_server: Any, tiny: Any, make_image: Any
) -> None:
    server = start_server(BNN_GRACE_MS="5000", BNN_DEADLINE_MS="4000", **tiny)
    address = server.address
    data = post(make_image(size=(1500, 1500), kind="PNG", compress_level=1))
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(address)) for _ in range(300)]
        threads = [threading.Thread(target=wire.send, args=(data,)) for wire in wires]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.send(signal.SIGTERM)
        statuses = Counter(wire.read().status for wire in wires)
    assert server.wait() == 0
    assert statuses.total() == 300
    assert set(statuses) <= {200, 429, 503, 504}
    assert "Traceback" not in server.log


def test_a_model_that_cannot_be_loaded_is_told_and_ends_the_process(
    start_server: Any, tiny: Any
) -> None:
    server = start_server(**{**tiny, "BNN_BUNDLE": "/nowhere"})
    assert server.wait() == 1
    lines = server.log.splitlines()
    assert lines[-1].startswith("error: /nowhere/manifest.json")
    assert "Traceback" not in server.log


# ---- signals


def test_many_hang_ups_are_two_readings(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is being done, and one for whatever was changed since it began."""
    server = serve()
    began: list[float] = []
    gate = asyncio.Event()

    async def reload(_: Changes) -> None:
        began.append(time.monotonic())
        await gate.wait()

    monkeypatch.setattr(Changes, "reload", reload)
    server.signal(signal.SIGHUP)
    wait_for(lambda: bool(began))
    for _ in range(20):
        server.signal(signal.SIGHUP)
    wait_for(lambda: not server.server._signals)
    assert len(began) == 1
    server.server._reloading.get_loop().call_soon_threadsafe(gate.set)
    wait_for(server.server._reloading.done)
    assert len(began) == 2
    server.signal(signal.SIGHUP)
    wait_for(lambda: len(began) == 3)


def test_a_signal_while_others_are_heeded_is_not_lost(serve: Any) -> None:
    """They come between any two instructions, also when the last one has been looked at."""

    class Late(list[signal.Signals]):
        def __bool__(self) -> bool:
            if not len(self) and late:
                self.append(late.pop())
            return len(self) > 0

        def clear(self) -> None:
            bool(self)
            super().clear()

    server = serve(drain_delay_ms=0)
    late = [signal.SIGTERM]
    server.server._signals = Late([signal.SIGHUP])
    server.join()
