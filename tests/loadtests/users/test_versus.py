"""The comparison's report: ratios of each round, thresholds, what is not told."""

from argparse import Namespace
from typing import Any

from loadtests.clients.metrics import Metrics
from loadtests.users.payloads import Payload
from loadtests.users.turns import Turn
from loadtests.users.versus import build_report

INFOS: list[dict[str, Any]] = [
    {"model": {"name": "net", "id": "a"}, "engine": {"name": "native"}},
    {"model": {"name": "other", "id": "b"}},
]
OPTIONS = {
    **{f"max_{name}_ratio": None for name in ("cpu", "memory", "p50", "p99")},
    **{"min_rate_ratio": None, "max_failures": 0.0, "max_generator_cpu": 70.0},
}


def make_turn(side: int, latency: float, cpu: float | None = 1.0) -> Turn:
    turn = Turn(side, 0.0, [Payload("a", "/", b"", {})])
    turn.tally.latency.extend([latency] * 10)
    turn.began, turn.ended = 0.0, 10 * latency
    turn.before = Metrics(None if cpu is None else 0.0, 0.0)
    turn.after = Metrics(cpu, 2e6 if side else 1e6)
    return turn


def build(turns: list[Turn], **changes: Any) -> tuple[int, str, dict[str, Any]]:
    options = Namespace(**{**OPTIONS, **changes})
    report = build_report(turns, INFOS, ["http://a", "http://b"], options, {}, 4)
    return report.exit_status, report.format_markdown([0, 0, 0]), report.data


TURNS = [make_turn(0, 0.2), make_turn(1, 0.1), make_turn(1, 0.2, 2), make_turn(0, 0.6, 2)]


def test_ratios_are_those_of_each_round() -> None:
    status, text, data = build(TURNS)
    assert status == 0
    ratios = {name: found["ratio"]["median"] for name, found in data["measures"].items()}
    assert ratios["latency, median"] == ratios["latency, p99"] == 2.5
    assert ratios["CPU an image"] == 1
    assert ratios["resident memory"] == 0.5
    assert round(ratios["images a second"], 3) == round((1 / 2 + 1 / 3) / 2, 3)
    assert data["order"] == ["first", "second", "second", "first"]
    assert "| model | net a | other b |" in text


def test_thresholds_on_ratios() -> None:
    assert build(TURNS, max_p99_ratio=2.5, min_rate_ratio=0.4, max_memory_ratio=0.5)[0] == 0
    assert build(TURNS, max_p99_ratio=2.4)[0] == 1
    assert build(TURNS, min_rate_ratio=0.5)[0] == 1
    assert build(TURNS[:3])[0] == 1  # it was stopped


def test_what_is_not_told_is_not_judged_as_held() -> None:
    turns = [make_turn(0, 0.2), make_turn(1, 0.1, None), make_turn(1, 0.1, None), make_turn(0, 0.2)]
    status, text, data = build(turns)
    assert status == 0
    assert "| CPU an image, ms | not told | not told |  |" in text
    assert "CPU an image" not in data["measures"]
    assert build(turns, max_cpu_ratio=2.0)[0] == 1


def test_failures_no_answers_and_the_generator() -> None:
    failing = [make_turn(side, 0.1) for side in (0, 1, 1, 0)]
    failing[1].tally.failed["status 500"] = 1
    assert build(failing)[0] == 1
    assert build(failing, max_failures=5.0)[0] == 0
    silent = [make_turn(side, 0.1) for side in (0, 1, 1, 0)]
    for turn in silent[1:3]:
        del turn.tally.latency[:]
    assert build(silent)[0] == 1
    busy = [make_turn(side, 0.1) for side in (0, 1, 1, 0)]
    busy[0].tally.cpu = busy[0].tally.wall = 10
    assert build(busy)[0] == 3
    assert build([])[0] == 1
