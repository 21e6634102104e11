"""Peers on one network: answers are compared before anything is timed, who fails is named."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.bench import peer_contestants
from runtime.bench.mobile_graphs import build_mobile_graph
from runtime.bench.peer_contestants import (
    FLOAT,
    INT8,
    PEERS,
    Lists,
    PeerSettings,
    add_peers,
    check_answer,
)
from runtime.errors import RuntimeFault

SIZE = 32
PEER = '''"""Looks like a peer that answers {answer}."""
def open_peer(options):
    return {{"version": "0", "answer": {answer}}}, {{"predict": lambda: None}}
'''


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "v3.onnx"
    path.write_bytes(build_mobile_graph("mobilenet_v3_small", SIZE).SerializeToString())
    return path


def start(graph: Path, folder: Path, **interpreters: str) -> Lists:
    """All peers, those of `interpreters` in them, no other."""
    lists = Lists()
    known = dict.fromkeys(PEERS, "/bin/false") | interpreters
    with ExitStack() as stack:
        settings = PeerSettings(folder, known, 1, 1, SIZE, lambda text: None)
        add_peers(lists, stack, "v3", graph, settings)
        for timer in lists.timers.values():
            assert len(timer(1)) == 1
    return lists


def test_onnxruntime_is_timed_in_both_precisions(graph: Path, tmp_path: Path) -> None:
    lists = start(graph, tmp_path, onnxruntime=sys.executable)
    assert list(lists.timers) == ["v3: onnxruntime fp32", "v3: onnxruntime int8"]
    errors = [facts["answer_error"] for facts in lists.facts.values()]
    assert errors[0] == 0 < errors[1]
    for name in ("v3 litert", "v3: openvino fp32", "v3: ncnn fp32", "v3: mnn fp32"):
        assert "make bench-peers" in lists.missing[name]
    assert lists.missing["v3: ncnn int8"] == peer_contestants.WITHOUT_INT8["ncnn"]


def test_without_a_reference_nobody_is_timed(graph: Path, tmp_path: Path) -> None:
    lists = start(graph, tmp_path)
    assert lists.timers == {}
    assert len(lists.missing) == 8  # two files, four peers, two without 8 bits


def test_peer_with_another_answer_is_not_timed(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "wrong.py"
    module.write_text(PEER.format(answer=np.zeros((1, 1000)).tolist()))
    real = peer_contestants.PeerProcess

    def choose(python: str, name: str, options: Any) -> Any:
        return real(python, str(module) if name == "mnn_peer" else name, options)

    monkeypatch.setattr(peer_contestants, "PeerProcess", choose)
    lists = start(graph, tmp_path, onnxruntime=sys.executable, mnn=sys.executable)
    assert "v3: mnn fp32" not in lists.timers
    assert "expected ONNX Runtime's answer within 0.001" in lists.missing["v3: mnn fp32"]


def test_answers_are_compared_by_their_deviation() -> None:
    reference = np.array([[0.0, 2.0]])
    assert check_answer(reference, reference, FLOAT) == 0
    assert check_answer(reference + 0.25, reference, INT8) == pytest.approx(0.25)
    for wrong in (reference + 0.01, reference * np.nan):
        with pytest.raises(RuntimeFault, match="found a difference of"):
            check_answer(wrong, reference, FLOAT)
    with pytest.raises(RuntimeFault, match=r"expected logits \(1, 2\), found \(2,\)"):
        check_answer(reference[0], reference, FLOAT)
    with pytest.raises(RuntimeFault, match="found none"):
        check_answer(reference, None, FLOAT)
