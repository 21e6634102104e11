"""runtime.engines.onnx_sessions: exact products where the CPU has none, nothing said or kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from runtime.engines.onnx_sessions import (
    EXACT_PRODUCTS,
    NO_SPINNING,
    PRODUCT_GRAPH,
    TELEMETRY,
    import_onnxruntime,
    import_quantizer,
    make_options,
    open_session,
    saturates,
)
from runtime.errors import OnnxUnavailable
from tests.emulation import NO_AVX, NO_VNNI, run_python

PEER = "from runtime.bench.peers.{0} import open_peer; open_peer({1})"


def test_product_graph_is_what_its_comment_says() -> None:
    ends = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("a", TensorProto.UINT8, [8, 64]),
            ("b", TensorProto.INT8, [64, 8]),
            ("c", TensorProto.INT32, [8, 8]),
        )
    ]
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    graph = helper.make_graph([node], "g", ends[:2], ends[2:])
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9, producer_name="")
    assert model.SerializeToString() == PRODUCT_GRAPH


@pytest.mark.parametrize("saturating", [False, True])
def test_exact_products_are_asked_for_where_they_are_not_given(
    monkeypatch: pytest.MonkeyPatch, saturating: bool
) -> None:
    ort = import_onnxruntime()
    entries: dict[str, str] = {}

    class Recording(ort.SessionOptions):  # type: ignore[misc, name-defined]
        def add_session_config_entry(self, key: str, value: str) -> None:
            entries[key] = value
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(ort, "SessionOptions", Recording)
    monkeypatch.setattr("runtime.engines.onnx_sessions.saturates", lambda: saturating)
    make_options(2)
    assert entries.get(EXACT_PRODUCTS, "0") == str(int(saturating))
    assert entries.items() >= NO_SPINNING.items()


def test_threads_of_a_session_sleep_between_runs(model: Path, repository: Path) -> None:
    """CPU time, which other programs do not add to. With spinning it is a third of a second."""
    program = (
        "import sys, time, numpy\n"
        "from runtime.engines.onnx_sessions import make_options, open_session\n"
        f"session = open_session({str(model)!r}, make_options(4))\n"
        "image, idle = numpy.zeros((1, 3, 32, 32), numpy.float32), 0.0\n"
        "for _ in range(8):\n"
        "    session.run(None, {'images': image})\n"
        "    began = time.process_time()\n"
        "    time.sleep(0.05)\n"
        "    idle += time.process_time() - began\n"
        "print(idle)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) < 0.05


@pytest.mark.qemu
@pytest.mark.parametrize(("cpu", "answer"), [(NO_VNNI, "True"), (NO_AVX, "False")])
def test_which_cpus_saturate(cpu: str, answer: str) -> None:
    """A CPU without AVX2 multiplies in other kernels."""
    program = "from runtime.engines.onnx_sessions import saturates; print(saturates())"
    assert run_python(cpu, program) == f"{answer}\n"


def test_saturation_is_asked_once() -> None:
    assert saturates() is saturates()


def test_graph_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "graph").write_bytes(b"no graph")
    with pytest.raises(OnnxUnavailable, match=r"graph: onnxruntime .* refuses the graph"):
        open_session(str(tmp_path / "graph"))
    with pytest.raises(OnnxUnavailable, match="a graph in memory: onnxruntime"):
        open_session(b"no graph")


def test_missing_package_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OnnxUnavailable, match=r"expected the package onnxruntime.*\[onnx\]"):
        import_onnxruntime()


def run_at(home: Path, program: str, repository: Path) -> str:
    """What the program says on standard error, without this process's environment: there,
    variables of a build service would switch telemetry off.
    """
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return answer.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small float network."""
    import onnx

    from models.export.mobilenet_graph import build_mobilenet_graph
    from models.networks.mobilenet import MobileNetV1, find_mobilenet_spec

    path = tmp_path_factory.mktemp("model") / "m.onnx"
    network = MobileNetV1(find_mobilenet_spec("mobilenet_v1_0.25"), 5)
    onnx.save(build_mobilenet_graph(network, 32, "small"), path)
    return path


@pytest.mark.parametrize("way", ["engine", "peer", "quantizer"])
def test_onnxruntime_keeps_and_says_nothing(
    way: str, model: Path, repository: Path, tmp_path: Path
) -> None:
    """Every way in which a process of ours comes to import it."""
    options = {"model": str(model), "threads": 1, "batch": 1, "saturates": False, "size": 32}
    programs = {
        "engine": "from runtime import load_engine\n"
        "load_engine('service/bundles/mobilenet_v1', 'onnx')",
        "peer": PEER.format("onnxruntime_peer", options),
        "quantizer": PEER.format("quantize_peer", options | {"out": str(tmp_path / "q.onnx")}),
    }
    home = tmp_path / "home"
    home.mkdir()
    for place in (home, Path("/proc/none")):
        said = run_at(place, programs[way], repository)
        assert "telemetry" not in said
        assert way == "quantizer" or said == ""
    assert list(home.rglob("*")) == []


def test_onnxruntime_as_it_comes_does_keep_something(repository: Path, tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    run_at(tmp_path, "import onnxruntime", repository)
    if not list(tmp_path.rglob("*")):
        pytest.skip(f"this onnxruntime has no telemetry: nothing for {TELEMETRY} to switch off")
    assert list(tmp_path.rglob("deviceid"))


def test_quantizer_comes_with_what_prepares_a_graph_for_it() -> None:
    quantizer = import_quantizer()
    assert callable(quantizer.quantize_static)
    assert callable(quantizer.shape_inference.quant_pre_process)
    assert os.environ[TELEMETRY] == "1"
