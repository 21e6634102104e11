"""service.work.lifecycle: which of the four checks pass in which phase of the service's life."""

import pytest

from service.messages.problems import Problem
from service.work.lifecycle import Lifecycle


def list_states(lifecycle: Lifecycle) -> tuple[str, ...]:
    """What alive, started, ready and open say: "" or a problem's code."""
    states = []
    for check in (
        lifecycle.check_alive,
        lifecycle.check_started,
        lifecycle.check_ready,
        lifecycle.check_open,
    ):
        try:
            check()
        except Problem as problem:
            states.append(problem.code)
        else:
            states.append("")
    return tuple(states)


def test_an_ordinary_life() -> None:
    lifecycle = Lifecycle(60)
    changes = []
    lifecycle.on_change = lambda: changes.append(list_states(lifecycle))
    assert list_states(lifecycle) == ("", "not_ready", "not_ready", "not_ready")
    lifecycle.finish_start()
    lifecycle.begin_drain()
    assert changes == [("", "", "", ""), ("", "", "draining", "")]
    lifecycle.refuse_new()
    assert list_states(lifecycle) == ("", "", "draining", "draining")


def test_a_model_that_cannot_be_loaded() -> None:
    lifecycle = Lifecycle(60)
    changes = []
    lifecycle.on_change = lambda: changes.append(list_states(lifecycle))
    lifecycle.fail_start("no such file: secret/path")
    assert changes == [("", "no_engine", "no_engine", "no_engine")]
    assert lifecycle.fault == "no such file: secret/path"
    with pytest.raises(Problem) as caught:
        lifecycle.check_ready()
    assert "secret" not in caught.value.detail


def test_a_stop_while_the_model_is_being_loaded() -> None:
    lifecycle = Lifecycle(60)
    lifecycle.begin_drain()
    assert list_states(lifecycle) == ("", "not_ready", "not_ready", "not_ready")


def test_a_hanging_worker_is_the_end_of_life() -> None:
    lifecycle = Lifecycle(2.5)
    seconds = [2.5]
    lifecycle.watch(lambda: seconds[0])
    lifecycle.finish_start()
    assert list_states(lifecycle) == ("", "", "", "")
    seconds[0] = 3.0
    with pytest.raises(Problem, match=r"hanging: expected no image to take more than 2\.5 s; .* 3"):
        lifecycle.check_alive()
    assert list_states(lifecycle)[1:] == ("", "", "")
