"""service.bulk.process: a worker's end of the pipe."""

import json
import multiprocessing
import signal
import threading
from collections.abc import Iterator

import pytest

from service.bulk.forms import RowForm
from service.bulk.process import Alive, Encoded, Ready, Unusable, encode_rows, run_worker
from service.bulk.rows import Row, describe_failure
from service.classification.classifier import Prediction
from tests.service.bulk.workers import ObedientWorker

FORM = RowForm("jsonl", 1)


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process is this one: what it does to signals and the log is undone."""
    monkeypatch.setattr("service.bulk.process.configure_logging", lambda *_: None)
    before = {by: signal.getsignal(by) for by in (signal.SIGINT, signal.SIGTERM)}
    yield
    for by, handler in before.items():
        signal.signal(by, handler)


def test_batches_come_back_until_the_parent_is_gone() -> None:
    ours, theirs = multiprocessing.Pipe()
    answers: list[object] = []

    def ask() -> None:
        answers.append(ours.recv())
        for names in (("a", "bad"), ("b",)):
            ours.send(names)
            answers.extend(ours.recv() for _ in (*names, "the rows"))
        ours.close()

    thread = threading.Thread(target=ask)
    thread.start()
    run_worker(theirs, ObedientWorker(), FORM)
    thread.join()
    ready, *alive, two, alive_again, one = answers
    assert (ready, alive, alive_again) == (Ready(), [Alive(), Alive()], Alive())
    assert isinstance(two, Encoded)
    assert isinstance(one, Encoded)
    assert (two.rows, two.failed, one.rows, one.failed) == (2, 1, 1, 0)


def test_a_model_that_cannot_be_used_is_told() -> None:
    ours, theirs = multiprocessing.Pipe()
    run_worker(theirs, ObedientWorker("fail"), FORM)
    assert ours.recv() == Unusable("no model")


def test_rows_are_counted() -> None:
    rows = [Row("a", (Prediction("x", 0, 1.0),)), describe_failure("b", "unreadable", "gone")]
    encoded = encode_rows(rows, FORM)
    assert [json.loads(line)["file"] for line in encoded.data.splitlines()] == ["a", "b"]
    assert encoded[1:] == (2, 1, ())
    assert encode_rows(rows, RowForm("text", 1)) == Encoded(b"a: x 1.000\n", 2, 1, ("b: gone",))
