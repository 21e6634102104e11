"""Turns: in the order A B B A, whole passes, one service at a time."""

from itertools import pairwise

import gevent
import pytest

from loadtests.clients.metrics import Metrics
from loadtests.errors import ServerFault
from loadtests.users.payloads import Payload
from loadtests.users.turns import Director, Turn, plan_sides

PAYLOADS = [Payload(str(number), "/", b"x", {}) for number in range(3)]


def test_the_order() -> None:
    assert list(plan_sides(4)) == [0, 1, 1, 0, 0, 1, 1, 0]


def run(director: Director, users: int) -> list[tuple[int, str]]:
    sent: list[tuple[int, str]] = []
    busy = [0, 0]

    def send(turn: Turn, payload: Payload) -> bool:
        busy[turn.side] += 1
        gevent.sleep(0.001)
        assert busy[1 - turn.side] == 0, "both services are loaded"
        busy[turn.side] -= 1
        sent.append((turn.side, payload.name))
        turn.tally.latency.append(0.001)
        return True

    def use() -> None:
        while True:
            director.join_turn(send, 0)

    greenlets = [gevent.spawn(use) for _ in range(users)]
    director.run()
    gevent.killall(greenlets)
    return sent


@pytest.mark.parametrize("users", [1, 5])
def test_both_get_whole_passes_in_turns(users: int) -> None:
    clock = [0.0]

    def consume(side: int) -> Metrics:
        clock[0] += 1
        return Metrics(clock[0], 1e6)

    director = Director(PAYLOADS, consume, rounds=2, seconds=0.01, warm_up=0.001)
    sent = run(director, users)
    assert director.is_over
    assert [turn.side for turn in director.turns] == [0, 1, 1, 0]
    assert len(director.turns) == director.planned
    for turn in director.turns:
        assert turn.tally.accepted % len(PAYLOADS) == 0
        assert turn.tally.accepted > 0
        assert turn.cpu_per_image == 1 / turn.tally.accepted
        assert turn.rate > 0
    assert all(a.ended <= b.began for a, b in pairwise(director.turns))
    assert {name for _, name in sent} == {"0", "1", "2"}
    director.reset()
    assert not director.turns


def test_a_service_that_has_gone_ends_the_test() -> None:
    def consume(side: int) -> Metrics:
        raise ServerFault("expected a service, found none")

    director = Director(PAYLOADS, consume, 1, 1, 1)
    director.run()
    assert (director.is_over, director.turns) == (True, [])
    assert director.fault == "expected a service, found none"


def test_without_metrics_nothing_is_said_of_cpu_time() -> None:
    turn = Turn(0, 0.0, PAYLOADS)
    turn.tally.latency.append(1.0)
    assert turn.cpu_per_image is None
    assert turn.rate == 0
