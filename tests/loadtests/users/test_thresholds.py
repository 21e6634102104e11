"""Thresholds: where they come from, what they judge, and what the generator may do."""

from argparse import Namespace
from array import array
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from loadtests.errors import WrongUsage
from loadtests.users.tally import Tally
from loadtests.users.thresholds import (
    HELP,
    Limits,
    choose_limits,
    describe_limits,
    judge_answers,
    judge_generator,
    limit_ramp,
    read_limits,
)

NAMES = [item.name for item in fields(Limits)]


def test_the_example_names_every_threshold(repository: Path) -> None:
    assert set(read_limits(repository / "loadtests" / "thresholds.toml")) == set(NAMES)
    assert set(HELP) == set(NAMES)


def test_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("max_p99_ms = 5\nmax_failures = 2.5\n")
    chosen = dict.fromkeys(NAMES) | {"thresholds": str(tmp_path / "limits.toml"), "max_p99_ms": 7.0}
    assert choose_limits(Namespace(**chosen)) == Limits(max_p99_ms=7.0, max_failures=2.5)


@pytest.mark.parametrize(
    "text",
    ["max_p99 = 5", "max_p99_ms = '5'", "min_rate = -1", "min_rate = nan", "a b", "a = true"],
)
def test_what_is_no_threshold_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "limits.toml").write_text(text)
    with pytest.raises(WrongUsage, match=r"expected .* found"):
        read_limits(tmp_path / "limits.toml")
    with pytest.raises(WrongUsage, match="No such file"):
        read_limits(tmp_path / "none.toml")


def test_answers_are_judged() -> None:
    tally = Tally(latency=array("d", [0.1] * 8))
    tally.refused["429"], tally.failed["status 500"] = 1, 1
    strict = Limits(max_p99_ms=99, max_failures=9, max_refused=9)
    assert [check.held for check in judge_answers(strict, tally)] == [True, False, False, False]
    assert all(c.held for c in judge_answers(Limits(101, 10, 10), tally))
    assert all(c.held for c in judge_answers(Limits(max_failures=None), tally))
    assert not judge_answers(Limits(), Tally())[0].held  # no answer at all


def test_refusals_alone_hold_nothing() -> None:
    tally = Tally()
    tally.refused["503"] = 9
    accepted, p99, failed = judge_answers(Limits(max_p99_ms=99), tally)
    assert (accepted.held, p99.held, p99.found, failed.held) == (False, False, "none", True)


def test_a_ramp_has_thresholds_anyway() -> None:
    assert limit_ramp(Limits()).max_p99_ms == 500
    assert limit_ramp(Limits(max_p99_ms=7)).max_p99_ms == 7
    assert describe_limits(Limits(7)) == asdict(Limits(7))


def test_the_generator_is_judged() -> None:
    late = Tally(lag=array("d", [0.0] * 94 + [0.021] * 6), cpu=1, wall=2)
    late.unsent["Too many open files"] = 3
    unsent, lag = judge_generator(Limits(), late)
    assert unsent.startswith("3 requests could not be sent: Too many open files")
    assert lag.startswith("6.0 % of the requests were sent more than 20 ms late, 5 % are allowed")
    assert not judge_generator(Limits(), Tally(lag=array("d", [0.0] * 95 + [0.021] * 5)))
    (cpu,) = judge_generator(Limits(), Tally(cpu=0.71, wall=1))
    assert cpu.startswith("the generator used 71% of a CPU, 70 % are allowed")


def test_a_service_that_hangs_at_the_end_is_a_miss() -> None:
    """Four requests waited for four seconds when the test was stopped; all before took little."""
    tally = Tally(latency=array("d", [0.01] * 68), cut=array("d", [4.0] * 4))
    missed = [check for check in judge_answers(Limits(), tally) if not check.held]
    assert [(check.found, check.limit) for check in missed] == [("4", "<= 0")]
    assert all(check.held for check in judge_answers(Limits(max_p99_ms=5000), tally))
    on_their_way = Tally(latency=array("d", [0.01] * 68), cut=array("d", [0.5] * 4))
    assert all(check.held for check in judge_answers(Limits(), on_their_way))
    assert not all(check.held for check in judge_answers(Limits(max_p99_ms=100), on_their_way))
    slow = Tally(latency=array("d", [6.0]), cut=array("d", [4.0]))
    assert all(check.held for check in judge_answers(Limits(), slow))
