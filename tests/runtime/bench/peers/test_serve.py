"""The program that runs a peer: its protocol, line by line."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from runtime.bench.peers.serve import describe, load_module, serve, time_call

PEER = '''"""A peer for tests."""
def open_peer(options):
    if options.get("refuse"):
        raise ValueError("too\\n  old")
    return {"options": options}, {"good": lambda: None, "bad": lambda: 1 / 0}
'''


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / "peer.py").write_text(PEER)
    return str(tmp_path / "peer.py")


def talk(module: str, *commands: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and the answers."""
    answers = io.StringIO()
    text = "".join(json.dumps(command) + "\n" for command in commands)
    code = serve(module, io.StringIO(text), answers)
    return code, [json.loads(line) for line in answers.getvalue().splitlines()]


def test_each_command_is_answered(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, answers = talk(module, {"a": 1}, {"call": "good", "runs": 2}, {"call": "bad", "runs": 1})
    assert code == 0
    assert answers[0] == {"ready": {"options": {"a": 1}}}
    assert len(answers[1]["seconds"]["whole"]) == 2
    assert answers[2] == {"failed": "ZeroDivisionError: division by zero"}
    assert "Traceback" in capsys.readouterr().err


def test_peer_that_does_not_open_is_an_answer(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(module, {"refuse": 1}) == (1, [{"failed": "ValueError: too old"}])
    assert "Traceback" in capsys.readouterr().err


def test_calls_may_time_their_parts() -> None:
    assert time_call(lambda: {"inner": 1.0}, 2) == {"inner": [1.0, 1.0]}


def test_call_is_made_once_more_than_it_is_timed() -> None:
    calls: list[int] = []
    assert len(time_call(lambda: calls.append(1), 3)["whole"]) == 3
    assert len(calls) == 4


def test_modules_lie_beside_the_program() -> None:
    assert load_module("onnxruntime_peer").open_peer
    with pytest.raises(FileNotFoundError, match="expected a peer module, found no file"):
        load_module("abacus_peer")


def test_long_reasons_are_cut() -> None:
    assert len(describe(ValueError("x" * 9999))) == 500
