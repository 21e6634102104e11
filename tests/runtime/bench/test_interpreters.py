"""Which interpreter runs which peer, and what is said about one that cannot."""

import sys
from pathlib import Path

import pytest

from runtime.bench.interpreters import ENVIRONMENTS, explain, find_interpreters


def test_peers_run_here_unless_an_environment_was_made_for_them(tmp_path: Path) -> None:
    assert find_interpreters([], tmp_path) == dict.fromkeys(ENVIRONMENTS, sys.executable)
    python = tmp_path / ".venv-openvino" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    found = find_interpreters([], tmp_path)
    assert found["openvino"] == str(python)
    assert found["onnxruntime"] == found["larq"] == found["ncnn"] == sys.executable


def test_interpreter_that_is_named_is_used(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.touch()
    assert find_interpreters([f"larq={other}"], tmp_path)["larq"] == str(other)


@pytest.mark.parametrize("option", ["larq", "tflite=/usr/bin/python3", "=x"])
def test_what_names_no_peer_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="expected NAME=PATH with a NAME of onnxruntime, openvino"):
        find_interpreters([option])


def test_path_without_interpreter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="interpreter for openvino, found no file"):
        find_interpreters([f"openvino={tmp_path / 'python'}"])


def test_reason_comes_with_a_remedy() -> None:
    assert explain("larq", "no module").startswith("no module; install it with 'make bench-peers'")
    assert "--peer-python larq=" in explain("larq", "no module")
