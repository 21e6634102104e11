"""Sending: accepted, refused, failed and unsendable requests are told apart."""

import errno
from time import perf_counter
from types import SimpleNamespace
from typing import Any, Self

import pytest
from gevent import GreenletExit

from loadtests.users.payloads import Payload
from loadtests.users.sending import send
from loadtests.users.tally import Tally
from loadtests.users.timings import StageTimings

PAYLOAD = Payload("/classify", "/classify?top_k=5", b"x", {"Content-Type": "image/jpeg"})


class Client:
    """Gives the answer it is told, as Locust's client would."""

    def __init__(self, status: int, error: BaseException | None = None, **headers: str) -> None:
        self.status_code, self.error = status, error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.content = b'{"code": "overloaded"}'
        self.request_meta: dict[str, Any] = {"start_time": 0.0}
        self.failures: list[str] = []
        self.succeeded = False

    def post(self, url: str, **options: Any) -> Self:
        if isinstance(self.error, GreenletExit):
            raise self.error
        self.request_meta |= {"name": options["name"], "url": url}
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        pass

    def failure(self, reason: str) -> None:
        self.failures.append(reason)

    def success(self) -> None:
        self.succeeded = True


def test_a_latency_counts_from_when_it_was_due() -> None:
    client, tally, timings = Client(200, x_time_infer_ms="1.5"), Tally(), StageTimings()
    assert send(client, PAYLOAD, tally, timings, perf_counter() - 2, "http://a", "first ")
    assert client.request_meta["response_time"] >= 2000
    assert client.request_meta["start_time"] <= -2
    assert client.request_meta["name"] == "first /classify"
    assert client.request_meta["url"] == "http://a/classify?top_k=5"
    assert tally.latency[0] >= 2
    assert tally.lag[0] >= 2
    assert tally.service[0] <= tally.latency[0] - 2
    assert timings.summarize()["infer"]["count"] == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_has_retry_after(status: int) -> None:
    client, tally = Client(status, retry_after="1"), Tally()
    assert send(client, PAYLOAD, tally)
    assert (tally.refused, client.succeeded) == ({str(status): 1}, True)
    assert client.request_meta["name"] == f"/classify refused, {status}"
    client, tally = Client(status), Tally()
    assert send(client, PAYLOAD, tally)
    assert tally.failed == {f"expected status 200, found {status} overloaded": 1}
    assert client.failures == list(tally.failed)


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_every_other_status_is_a_failure(status: int) -> None:
    tally = Tally()
    assert send(Client(status, retry_after="1"), PAYLOAD, tally)
    assert (tally.failed.total(), tally.accepted) == (1, 0)


def test_no_answer_is_the_services_or_this_machines_fault() -> None:
    tally = Tally()
    assert not send(
        Client(0, ConnectionRefusedError(errno.ECONNREFUSED, "refused")), PAYLOAD, tally
    )
    assert tally.failed == {"no answer: ConnectionRefusedError: refused": 1}
    assert not tally.unsent
    send(Client(0, OSError(errno.EMFILE, "Too many open files")), PAYLOAD, tally)
    assert tally.unsent.total() == 1


def test_a_request_that_was_stopped_counts_nowhere() -> None:
    tally = Tally()
    with pytest.raises(GreenletExit):
        send(SimpleNamespace(post=Client(0, GreenletExit()).post), PAYLOAD, tally)
    assert (len(tally.cut), tally.total) == (1, 0)
    assert 0 <= tally.cut[0] < 10
