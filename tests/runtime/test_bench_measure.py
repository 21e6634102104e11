"""The measurements: turns, summaries, parts, memory, and the comparison of implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch

from runtime import bench_measure, library
from runtime.bench_measure import (
    BASELINE,
    EAGER,
    RUNS_PER_TURN,
    Contestant,
    compare_implementations,
    describe_machine,
    environment_of_children,
    load_contestant,
    load_contestants,
    make_images,
    measure_latency,
    measure_memory,
    measure_parts,
    read_peak_memory,
    run_alone,
    summarize,
)
from runtime.bundle import Bundle, Manifest
from runtime.errors import RuntimeFault
from runtime.parts import Floats, Part
from tests.runtime.bundles import make_bundle

MIB = 2**20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bench") / "bundle")


def silent(text: str) -> None:
    assert text


def make_contestant(name: str, calls: list[str]) -> Contestant:
    def predict(images: Floats) -> Floats:
        calls.append(name)
        return images

    return Contestant(name, "none", predict, 0, 0)


def test_contestants_take_turns_and_start_warm() -> None:
    calls: list[str] = []
    contestants = [make_contestant(name, calls) for name in "ab"]
    latencies = measure_latency(contestants, np.zeros(1, np.float32), 2 * RUNS_PER_TURN, silent)
    turn = [name for name in "ab" for _ in range(1 + RUNS_PER_TURN)]
    assert calls == 2 * turn
    assert [latencies[name]["runs"] for name in "ab"] == [2 * RUNS_PER_TURN] * 2


def test_summary_is_in_milliseconds() -> None:
    summary = summarize([0.001 * n for n in range(1, 12)])
    assert summary == pytest.approx(
        {"median_ms": 6.0, "p10_ms": 2.0, "p90_ms": 10.0, "fastest_ms": 1.0, "runs": 11}
    )


def test_missing_contestants_have_reasons(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    load = load_contestant

    def load_most(bundle: Bundle, name: str, threads: int) -> Contestant:
        if name == "onnx":
            raise ImportError("no onnxruntime")
        return load(bundle, name, threads)

    monkeypatch.setattr(bench_measure, "load_contestant", load_most)
    contestants, missing = load_contestants(bundle, ["native", "onnx", EAGER], 1)
    assert [contestant.name for contestant in contestants] == ["native", EAGER]
    assert missing == {"onnx": "no onnxruntime"}


def test_network_without_plan_has_no_float_twin(bundle: Bundle) -> None:
    empty = Bundle(bundle.path, Manifest(**{**vars(bundle.manifest), "plan": ()}))
    with pytest.raises(RuntimeFault, match="no float twin"):
        load_contestant(empty, EAGER, 1)


def test_contestants_answer_alike(bundle: Bundle) -> None:
    images = make_images(bundle, 2)
    names = ["torchscript", "native", "onnx", EAGER]
    logits = [load_contestant(bundle, name, 1).predict(images) for name in names]
    for found in logits[1:]:
        assert np.abs(found - logits[0]).max() < 1e-4


@pytest.mark.parametrize("eager", [False, True])
def test_parts_are_those_of_the_plan(bundle: Bundle, eager: bool) -> None:
    before = torch.get_num_threads()
    parts = measure_parts(bundle, 2, 2, eager, silent)
    torch.set_num_threads(before)
    assert [part["name"] for part in parts] == [step["name"] for step in bundle.manifest.plan]
    for part in parts:
        assert part["native_ms"] > 0
        assert part["kernels"]
        assert ("eager_ms" in part) is eager


def test_implementations_are_compared_with_generic(bundle: Bundle) -> None:
    before = library.active()
    outcome = compare_implementations(bundle)
    assert library.active() == before
    supported = {item.name for item in library.implementations() if item.supported}
    assert {item["implementation"] for item in outcome} == supported
    assert len(outcome) == len(supported) * len(bundle.manifest.plan)
    assert sum(item["different"] for item in outcome) == 0


def test_comparison_finds_a_difference(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    run, calls = library.run_part, [0]

    def run_wrongly(part: Part, x: Floats) -> Floats:
        y = run(part, x)
        calls[0] += 1
        if calls[0] == len(bundle.manifest.plan) + 2:  # the second part of what is compared first
            y[0, 3, 0, 0] += 2
        return y

    monkeypatch.setattr(library, "run_part", run_wrongly)
    wrong = [item for item in compare_implementations(bundle) if item["different"]]
    assert [(item["part"], item["different"], item["worst"]) for item in wrong] == [
        ("stage1", 1, 2.0)
    ]


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


def test_children_find_these_packages(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    path = environment_of_children()["PYTHONPATH"].split(":")
    assert path == [str(Path(bench_measure.__file__).resolve().parent.parent), "elsewhere"]


def test_machine_is_named() -> None:
    machine = describe_machine()
    assert machine["cpu"] not in ("", "unknown")
    assert machine["cores"] >= (machine["cores_allowed"] or 1) >= 1
    assert machine["packages"]["torch"] == torch.__version__
    assert set(machine["packages"]) == {"numpy", "torch", "onnxruntime"}


def test_images_are_repeatable(bundle: Bundle) -> None:
    images = make_images(bundle, 2)
    assert images.shape == (2, *bundle.manifest.input)
    assert np.array_equal(images, make_images(bundle, 2))
