"""Engines and the full-precision reference as contestants, and the memory of fresh processes."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bench import contestants as module
from runtime.bench.contestants import (
    BASELINE,
    EAGER,
    Contestant,
    load_contestant,
    load_contestants,
    measure_memory,
    read_peak_memory,
    run_alone,
)
from runtime.bundle import Bundle, Manifest
from runtime.errors import RuntimeFault
from runtime.measurement.inputs import make_images
from runtime.plan import Plan
from tests.runtime.bundles import make_bundle

MIB = 2**20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bench") / "bundle")


def test_missing_contestants_have_reasons(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    load = load_contestant

    def load_most(bundle: Bundle, name: str, threads: int) -> Contestant:
        if name == "onnx":
            raise ImportError("no onnxruntime")
        return load(bundle, name, threads)

    monkeypatch.setattr(module, "load_contestant", load_most)
    contestants, missing = load_contestants(bundle, ["native", "onnx", EAGER], 1)
    assert [contestant.name for contestant in contestants] == ["native", EAGER]
    assert missing == {"onnx": "no onnxruntime"}


def test_network_without_plan_has_no_float_twin(bundle: Bundle) -> None:
    empty = Bundle(bundle.path, Manifest(**{**vars(bundle.manifest), "plan": Plan()}))
    with pytest.raises(RuntimeFault, match="no full-precision reference"):
        load_contestant(empty, EAGER, 1)


def test_contestants_answer_alike(bundle: Bundle) -> None:
    images = make_images(bundle, 2)
    names = ["native", "torchscript", "onnx", EAGER]
    logits = [load_contestant(bundle, name, 1).predict(images) for name in names]
    for found in logits[1:]:
        assert np.abs(found - logits[0]).max() < 1e-4


def test_peak_memory_never_sinks() -> None:
    before = read_peak_memory()
    block = np.ones(64 * MIB, np.uint8)
    with_block = read_peak_memory()
    assert with_block >= block.nbytes
    del block
    # The kernel counts pages per thread and adds them up late: a little less is no sinking.
    assert read_peak_memory() >= with_block - MIB
    assert with_block >= before > MIB


def test_memory_is_that_of_a_fresh_process(bundle: Bundle) -> None:
    alone = measure_memory(bundle, BASELINE, 1, 1)
    assert (
        MIB < alone < run_alone(bundle, "native", 1, 1)["peak_memory_bytes"]
    )  # torch is loaded here
    assert alone < measure_memory(bundle, "torchscript", 1, 1)


def test_failing_measurement_says_why(bundle: Bundle, tmp_path: Path) -> None:
    nowhere = Bundle(tmp_path / "nothing", bundle.manifest)
    with pytest.raises(RuntimeFault, match=r"memory of native failed: .*nothing"):
        measure_memory(nowhere, "native", 1, 1)
