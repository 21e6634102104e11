"""Who is compared with whom: answers first, and what fails is told and does not stop the rest."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from runtime.bench.arm import compare
from runtime.bench.arm.boards import Board
from runtime.bench.arm.compare import Contestant, compare_networks, open_litert, open_ours
from runtime.bench.arm.machine import Machine
from runtime.bench.arm.tools import Tools
from runtime.bench.interpreters import find_interpreters
from runtime.bench.mobile_graphs import build_mobile_graph
from runtime.bench.peer_networks import SIZE
from runtime.bundle import Bundle
from runtime.errors import RuntimeFault
from tests.runtime.bundles import make_bundle

PAIR = ("meliusnetc", "mobilenet_v1_0.5")
LOGITS = np.arange(8, dtype=np.float32).reshape(1, 8)


def contestant(engine: str, precision: str, answer: np.ndarray = LOGITS) -> Contestant:
    return Contestant("n", engine, precision, Path("m"), answer)


@pytest.mark.parametrize(
    ("engine", "precision", "change", "is_right"),
    [
        ("native", "binary", 0, True),
        ("native", "binary", 1e-6, False),
        ("litert", "fp32", 1e-6, True),
        ("litert", "fp32", 0.1, False),
        ("litert", "int8", 0.1, True),
        ("litert", "int8", 9, False),
    ],
)
def test_ours_must_have_the_bits_and_theirs_the_answer(
    engine: str, precision: str, change: float, is_right: bool
) -> None:
    found = LOGITS + np.float32(change)
    if is_right:
        contestant(engine, precision).check(found)
    else:
        with pytest.raises(RuntimeFault, match="expected"):
            contestant(engine, precision).check(found)


class Fixture:
    """What compare_networks wants, with a network too small to wait for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bundle = make_bundle(folder / "bundle")
        self.exported: list[tuple[str, str]] = []
        self.emulated: list[tuple[str, dict[str, Any]]] = []
        self.machine = cast(Machine, type("M", (), {"tools": Tools({}, {"qemu": "7"})}))
        self.logits = LOGITS
        monkeypatch.setattr(compare, "run_network", self.run_network)
        monkeypatch.setattr(compare, "open_litert", self.open_litert)

    def export(self, name: str, float_layers: str = "float32") -> Bundle:
        self.exported.append((name, float_layers))
        return self.bundle

    def open_litert(self, network: str, *_: object) -> list[Contestant]:
        assert network == PAIR[1]
        return [contestant("litert", "fp32")]

    def run_network(self, _: object, board: Board, model: object, options: dict[str, Any]) -> Any:
        self.emulated.append((board.name, options))
        if options["engine"] == "native":
            from runtime.engines.engine import load_engine
            from runtime.measurement.inputs import make_images

            answer = load_engine(self.bundle, "native", 1).predict(make_images(self.bundle, 1))
            return {"version": "neon", "parts": []}, answer
        return {"version": "litert", "parts": []}, self.logits

    def compare(self, folder: Path, with_peers: bool = True) -> dict[str, Any]:
        return compare_networks(
            self.machine,
            self.export,
            folder,
            {"litert": "python"},
            pairs=[PAIR],
            boards=["pi4", "pi5"],
            with_parts=True,
            with_peers=with_peers,
            progress=lambda text: None,
        )


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fixture:
    return Fixture(tmp_path, monkeypatch)


def test_every_network_runs_on_every_board(small: Fixture, tmp_path: Path) -> None:
    found = small.compare(tmp_path)
    names = ["meliusnetc", "meliusnetc, 8-bit layers", "n"]
    assert [(row["board"], row["network"]) for row in found["rows"]] == [
        (board, name) for board in ("pi4", "pi5") for name in names
    ]
    assert found["not_measured"] == {}
    assert small.exported == [
        ("meliusnetc", "float32"), ("meliusnetc", "int8"), ("mobilenet_v1_0.5", "float32")
    ]  # fmt: skip
    assert {options["parts"] for _, options in small.emulated} == {True}
    assert found["boards"]["pi5"] == {"core": "cortex-a76", "model": "neoverse-n1"}
    assert found["tools"] == {"qemu": "7"}


def test_a_wrong_answer_is_not_counted(small: Fixture, tmp_path: Path) -> None:
    small.logits = -LOGITS
    found = small.compare(tmp_path)
    assert {row["engine"] for row in found["rows"]} == {"native"}
    assert list(found["not_measured"]) == [
        f"Raspberry Pi {number}, n: litert fp32" for number in (4, 5)
    ]


def test_ours_run_without_litert(
    small: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[Contestant]:
        raise RuntimeFault("no module")

    monkeypatch.setattr(compare, "open_litert", fail)
    found = small.compare(tmp_path)
    assert len(found["rows"]) == 4
    assert "make bench-peers" in found["not_measured"]["mobilenet_v1_0.5: litert"]


def test_ours_run_alone(small: Fixture, tmp_path: Path) -> None:
    found = small.compare(tmp_path, with_peers=False)
    assert {row["engine"] for row in found["rows"]} == {"native"}
    assert found["not_measured"] == {}
    assert {name for name, _ in small.exported} == {"meliusnetc"}


def test_ours_are_compared_with_this_machine(small: Fixture) -> None:
    first, second = open_ours(small.export, "meliusnetc")
    assert (first.name, second.name) == (
        "meliusnetc: native binary",
        "meliusnetc, 8-bit layers: native binary",
    )
    assert first.answer.shape == (1, 7)


def test_litert_has_files_of_both_precisions(repository: Path, tmp_path: Path) -> None:
    """With the interpreter that `make bench-peers` made."""
    interpreters = find_interpreters([])
    if not (repository / ".venv-litert").is_dir():
        pytest.skip("LiteRT is not installed: make bench-peers")
    graph = tmp_path / "m.onnx"
    name = "mobilenet_v4_conv_small_0.5"
    graph.write_bytes(build_mobile_graph(name, SIZE).SerializeToString())
    found = open_litert(name, graph, tmp_path, interpreters, lambda text: None)
    assert [one.name for one in found] == [f"{name}: litert fp32", f"{name}: litert int8"]
    assert all(one.model.read_bytes()[4:8] == b"TFL3" for one in found)
    found[1].check(found[0].answer)
