"""service.watch.newest: the newest frame wins, the others are counted, and nobody waits for
ever.
"""

import threading

import pytest

from service.watch.frames import Frame
from service.watch.newest import Newest
from tests.service.wire import SECONDS


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def test_the_newest_wins_and_the_others_are_counted(stop: threading.Event) -> None:
    newest = Newest(stop)
    for number in range(5):
        newest.put(Frame(b"%d" % number, "camera", passed_over=number == 4))
    frame = newest.take()
    assert frame is not None
    assert frame.data == b"4"
    assert newest.passed_over == 5


def test_a_frame_is_waited_for(stop: threading.Event) -> None:
    newest = Newest(stop)
    threading.Timer(0.02, newest.put, [Frame(b"x", "camera")]).start()
    assert newest.take() == Frame(b"x", "camera")
    assert newest.passed_over == 0


def test_whoever_waits_is_told_to_stop(stop: threading.Event) -> None:
    newest = Newest(stop)
    taken: list[Frame | None] = []
    waiting = threading.Thread(target=lambda: taken.append(newest.take()), daemon=True)
    waiting.start()
    stop.set()
    newest.wake()
    waiting.join(SECONDS)
    assert taken == [None]


def test_a_fault_comes_behind_the_last_frame(stop: threading.Event) -> None:
    newest = Newest(stop)
    newest.put(Frame(b"x", "camera"))
    newest.fail(LookupError("gone"))
    assert newest.take() is not None
    for _ in range(2):
        with pytest.raises(LookupError, match="gone"):
            newest.take()
