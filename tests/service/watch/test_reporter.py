"""service.watch.reporter: lines, and posts to receivers that refuse, hang or go away."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

import service.watch.reporter
from runtime import Hedged
from service.classification.classifier import Prediction
from service.watch.outage import Backoff, Outage
from service.watch.reporter import Poster, Printer, Result
from service.watch.web import parse_address
from tests.service.cameras import Handler, WebServer, give, hang, serve_web
from tests.service.servers import wait_for
from tests.service.wire import SECONDS


def make_result(source: str = "camera") -> Result:
    return Result(
        time=datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC),
        source=source,
        predictions=[Prediction("cat", 6, 0.75), Prediction("dog", 8, 0.25)],
        model="tiny",
        trained=True,
        engine="native/neon",
        image={"format": "JPEG", "width": 60, "height": 40},
        timings_ms={"decode": 1.0, "preprocess": 2.0, "infer": 3.0},
    )


def test_a_line_of_json(capsys: Any) -> None:
    printer = Printer(True)
    printer.report(make_result())
    assert json.loads(capsys.readouterr().out) == {
        "time": "2026-01-02T03:04:05.006+00:00",
        "source": "camera",
        "predictions": [
            {"label": "cat", "index": 6, "score": 0.75},
            {"label": "dog", "index": 8, "score": 0.25},
        ],
        "model": "tiny",
        "trained": True,
        "engine": "native/neon",
        "image": {"format": "JPEG", "width": 60, "height": 40},
        "timings_ms": {"decode": 1.0, "preprocess": 2.0, "infer": 3.0},
    }
    assert printer.close() == 0


def test_a_line_for_people_says_that_no_label_is_shown(capsys: Any) -> None:
    result = replace(make_result(), known=0.03, notice="None of them.")
    Printer(False).report(result)
    ending = "cat 0.750, dog 0.250 (probably none of the labels, 0.030)\n"
    assert capsys.readouterr().out.endswith(ending)
    described = result.describe()
    assert (described["known"], described["notice"]) == (0.03, "None of them.")


def test_a_hedged_answer_is_told(capsys: Any) -> None:
    hedged = Hedged("animal", "an animal", 0.97, 13, (), 0.95)
    result = replace(make_result(), hedged=hedged, hedged_text="an animal, which one is uncertain")
    Printer(False).report(result)
    ending = "dog 0.250; at 0.95: an animal, which one is uncertain\n"
    assert capsys.readouterr().out.endswith(ending)
    described = result.describe()
    assert described["hedged"] == {
        "label": "animal", "phrase": "an animal", "score": 0.97, "covers": 13, "path": (),
        "certainty": 0.95,
    }  # fmt: skip
    assert "hedged_text" not in described
    assert not {"hedged", "hedged_text"} & make_result().describe().keys()


def test_a_line_for_people_steers_no_terminal(capsys: Any) -> None:
    result = make_result("a\x1b[2J\n.jpg")
    Printer(False).report(result)
    moment = result.time.astimezone().strftime("%H:%M:%S")
    line = rf"{moment} a\x1b[2J\n.jpg: cat 0.750, dog 0.250"
    assert capsys.readouterr().out == f"{line}\n"


# ---- posts


@pytest.fixture
def receiver() -> Iterator[WebServer]:
    with serve_web(give(status=204)) as server:
        yield server


def make_poster(server: WebServer, seconds: float = SECONDS, silence: float = SECONDS) -> Poster:
    outage = Outage("refuses", "takes", steady=0, backoff=Backoff(0.001, 0.002))
    return Poster(parse_address(f"{server.url}/hook"), silence, outage, seconds)


def read(server: WebServer) -> list[str]:
    return [json.loads(request.body)["source"] for request in server.requests]


def test_results_arrive_in_order_as_json(receiver: WebServer) -> None:
    poster = make_poster(receiver)
    for name in "abc":
        poster.report(make_result(name))
    assert poster.close() == 0
    assert read(receiver) == ["a", "b", "c"]
    request = receiver.requests[0]
    assert (request.verb, request.target) == ("POST", "/hook")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == make_result("a").describe() | {
        "predictions": [vars(item) for item in make_result().predictions]
    }


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_a_receiver_that_refuses_is_tried_again(
    receiver: WebServer, caplog: Any, status: int
) -> None:
    receiver.answer = give(status=status)
    poster = make_poster(receiver)
    for name in "ab":
        poster.report(make_result(name))
    wait_for(lambda: len(receiver.requests) > 5)
    receiver.answer = give(status=200)
    assert poster.close() == 0
    assert set(read(receiver)[:-2]) == {"a"}
    assert read(receiver)[-2:] == ["a", "b"]
    assert [record.getMessage() for record in caplog.records] == ["refuses", "takes"]
    assert f"expected a status from 200 to 299; found {status}" in caplog.records[0].reason


def test_a_receiver_that_is_not_there(caplog: Any) -> None:
    with serve_web(give()) as server:
        pass
    poster = make_poster(server)
    poster.report(make_result("a"))
    wait_for(lambda: poster._outage.is_on)
    assert "Connection refused" in caplog.records[0].reason
    assert poster.close() == 1


def test_a_receiver_that_hangs_stops_nobody(receiver: WebServer, caplog: Any) -> None:
    receiver.answer = hang
    poster = make_poster(receiver, silence=0.2)
    for name in "abc":
        poster.report(make_result(name))
    wait_for(lambda: len(receiver.requests) > 2)
    receiver.answer = give()
    assert poster.close() == 0
    assert read(receiver)[-3:] == ["a", "b", "c"]
    assert "found silence" in caplog.records[0].reason


def test_the_end_waits_for_nobody_for_ever(receiver: WebServer) -> None:
    receiver.answer = hang
    poster = make_poster(receiver, seconds=0.05)
    for name in "abc":
        poster.report(make_result(name))
    wait_for(lambda: receiver.requests)
    assert poster.close() == 3
    assert not poster._thread.is_alive()


def test_the_end_tries_once_more(receiver: WebServer) -> None:
    receiver.answer = give(status=503)
    outage = Outage("refuses", "takes", backoff=Backoff(3600.0, 3600.0))
    poster = Poster(parse_address(receiver.url), SECONDS, outage, SECONDS)
    poster.report(make_result("a"))
    wait_for(lambda: outage.is_on)
    receiver.answer = give()
    assert poster.close() == 0
    assert read(receiver) == ["a", "a"]


def test_what_waits_is_bounded_and_the_oldest_goes(
    receiver: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.watch.reporter, "_MAX_WAITING", 3)
    entered, go_on = threading.Event(), threading.Event()

    def wait(handler: Handler) -> None:
        entered.set()
        assert go_on.wait(SECONDS)
        give()(handler)

    receiver.answer = wait
    poster = make_poster(receiver)
    poster.report(make_result("first"))
    assert entered.wait(SECONDS)
    for name in "abcde":
        poster.report(make_result(name))
    go_on.set()
    assert poster.close() == 3, "first, a and b: that first arrived after all is not known"
    assert read(receiver) == ["first", "c", "d", "e"]
