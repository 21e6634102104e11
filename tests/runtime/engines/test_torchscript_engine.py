"""The torchscript engine: equal to the native engine, thread-safe, silent, clear refusals."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runtime import InvalidInput, load_engine
from runtime.bundle import TORCHSCRIPT_GRAPH, WEIGHTS, Bundle, write_bundle
from runtime.engines.layers import save_network, script_network
from runtime.engines.native_engine import NativeEngine
from runtime.engines.onnx_engine import OnnxEngine
from runtime.engines.torchscript_engine import TorchScriptEngine
from runtime.errors import InvalidRecord, MissingFile, TorchUnavailable
from runtime.kernels import library
from tests.runtime.bundles import make_bundle, make_images, make_network

LOGIT_BOUND = 1e-4  # float parts: other order of summation in ONNX Runtime
VARIANTS: list[dict[str, Any]] = [
    {"pairs": (2, 1)},
    {"stem": "grouped", "image": 64, "pairs": (1, 1, 1, 1), "transitions": (160, 96, 128)},
    {"stem": "thumbnail", "padding": 0, "improvement": False},
    {"padding": 1, "transitions": (160,), "groups": 4, "shuffle": 16},
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("torchscript") / "bundle")


def draw_images(bundle: Bundle, count: int, seed: int = 1) -> np.ndarray:
    return make_images(bundle.manifest.plan, count, seed)


@pytest.mark.parametrize("options", VARIANTS)
def test_engines_agree(options: dict[str, Any], tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", **options)
    images = draw_images(bundle, 3)
    logits = TorchScriptEngine(bundle).predict(images)
    assert np.array_equal(logits, NativeEngine(bundle).predict(images))
    onnx = OnnxEngine(bundle).predict(images)
    worst = np.abs(onnx - logits).max()
    assert worst < LOGIT_BOUND, f"the worst logit differs by {worst}"
    assert np.array_equal(onnx.argmax(1), logits.argmax(1))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_batches_and_threads_do_not_change_logits(bundle: Bundle, count: int, threads: int) -> None:
    images = draw_images(bundle, count)
    before = torch.get_num_threads()
    try:
        engine = TorchScriptEngine(bundle, threads)
        assert torch.get_num_threads() == threads
        logits = engine.predict(images)
    finally:
        torch.set_num_threads(before)
    assert logits.dtype == np.float32
    assert np.array_equal(logits, NativeEngine(bundle).predict(images))


def test_concurrent_calls_do_not_disturb_each_other(bundle: Bundle) -> None:
    engine, native = TorchScriptEngine(bundle), NativeEngine(bundle)
    inputs = [draw_images(bundle, 1 + seed % 3, seed) for seed in range(24)]
    with ThreadPoolExecutor(6) as pool:
        outputs = list(pool.map(engine.predict, inputs))
    for images, logits in zip(inputs, outputs, strict=True):
        assert np.array_equal(logits, native.predict(images))


def test_engine_describes_itself(bundle: Bundle) -> None:
    engine = load_engine(bundle, "torchscript")
    assert engine.name == "torchscript"
    assert engine.implementation == library.active()
    sizes = [(bundle.path / name).stat().st_size for name in (TORCHSCRIPT_GRAPH, WEIGHTS)]
    assert engine.model_bytes == sum(sizes)
    assert engine.skipped == ()


def test_input_is_checked_and_may_be_read_only(bundle: Bundle) -> None:
    engine = TorchScriptEngine(bundle)
    images = draw_images(bundle, 2)
    images.flags.writeable = False
    assert engine.predict(images).shape == (2, 7)
    with pytest.raises(InvalidInput, match=r"found \[2, 3, 16, 8\]"):
        engine.predict(images[..., :8])
    with pytest.raises(InvalidInput, match="found float64"):
        engine.predict(images.astype(np.float64))


def with_graph(bundle: Bundle, graph: Path, folder: Path) -> Bundle:
    """The bundle written with another graph, or with a file that is none."""
    files = {WEIGHTS: bundle.path / WEIGHTS, TORCHSCRIPT_GRAPH: graph}
    return write_bundle(folder / "copy", bundle.manifest, files)


def test_graph_that_torch_does_not_read_is_named(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "graph").write_bytes(b"no graph")
    copy = with_graph(bundle, tmp_path / "graph", tmp_path)
    with pytest.raises(TorchUnavailable, match=r"model\.ts: expected a graph that torch .* reads"):
        TorchScriptEngine(copy)
    assert load_engine(copy).name == "native"  # another version of torch may read it


def test_graph_of_another_plan_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    plan, _ = make_network(pairs=(1,), transitions=())
    save_network(script_network(plan), tmp_path / "graph")
    copy = with_graph(bundle, tmp_path / "graph", tmp_path)
    with pytest.raises(InvalidRecord, match="the graph has the layer groups stem, stage1, head"):
        load_engine(copy, "torchscript")
    assert load_engine(copy).name == "native"  # which does not read the graph


def test_bundle_without_graph_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=TORCHSCRIPT_GRAPH):
        TorchScriptEngine(make_bundle(tmp_path / "bundle", graphs=False))
