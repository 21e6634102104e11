"""runtime.engines.self_test: changed weights and wrong kernels are noticed, sound engines pass."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from runtime import (
    ENGINES,
    Bundle,
    Engine,
    Known,
    WrongAnswer,
    check_at_load,
    load_engine,
    read_bundle,
    run_self_test,
)
from runtime.bundle import SELF_TEST, WEIGHTS, write_bundle
from runtime.engines.self_test import (
    FEW_BITS,
    ROUNDING,
    StoredAnswers,
    find_bound,
    make_inputs,
    read_stored_answers,
)
from runtime.errors import InvalidRecord
from runtime.kernels import library
from runtime.manifest import FLOAT_ORDER
from tests.runtime.bundles import PARITY, make_bundle, make_images, make_manifest, make_network

DEFAULT = Path(__file__).parents[3] / "service" / "bundles" / "default"
SUPPORTED = [i.name for i in library.implementations() if i.supported]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("self_test") / "bundle", self_test=True)


class Wrong:
    """An engine that adds something to the first logit of each image."""

    def __init__(self, engine: Engine, error: float) -> None:
        self.name, self.implementation = engine.name, engine.implementation
        self.bundle = engine.bundle
        self._engine, self._error = engine, error

    def predict(self, images: np.ndarray) -> np.ndarray:
        logits = self._engine.predict(images)
        logits[:, 0] += np.float32(self._error)
        return logits


def with_order(bundle: Bundle, number: int) -> Bundle:
    """The bundle as one whose logits were stored with another order of float operations."""
    return Bundle(bundle.path, replace(bundle.manifest, float_order=number))


# ---- verdicts ----


@pytest.mark.parametrize("name", ENGINES)
def test_sound_engines_pass(bundle: Bundle, name: str) -> None:
    outcome = run_self_test(load_engine(bundle, name))
    assert outcome.verdict in (("exact",) if name != "onnx" else ("exact", "within bound"))
    assert outcome.engine == name
    assert outcome.images == 12
    assert outcome.largest_difference is not None
    assert outcome.bound is not None
    assert outcome.largest_difference < outcome.bound
    assert outcome.labels_that_differ == 0


@pytest.mark.parametrize("implementation", SUPPORTED)
def test_every_implementation_gives_the_stored_bits(implementation: str, repository: Path) -> None:
    """Of the default bundle, in a process of its own: kernels are chosen once."""
    program = (
        "from runtime import load_engine, run_self_test\n"
        f"engine = load_engine({str(DEFAULT)!r}, 'native')\n"
        "print(engine.implementation, run_self_test(engine).verdict)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository,
        env={**os.environ, "BNN_FORCE_IMPLEMENTATION": implementation},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == f"{implementation} exact\n"


def test_wrong_kernels_are_noticed_by_the_last_bits(bundle: Bundle) -> None:
    outcome = run_self_test(Wrong(load_engine(bundle, "native"), 1e-3))  # type: ignore[arg-type]
    assert outcome.verdict == "failed"
    assert outcome.largest_difference == pytest.approx(1e-3, rel=0.01)
    assert "expected the stored bits, found others for 12 of 12 images" in outcome.reason


@pytest.mark.parametrize("order", [FLOAT_ORDER - 1, FLOAT_ORDER + 1])
def test_another_order_of_float_operations_is_held_to_the_bound(bundle: Bundle, order: int) -> None:
    other = load_engine(with_order(bundle, order), "native")
    outcome = run_self_test(Wrong(other, 1e-3))  # type: ignore[arg-type]
    assert outcome.verdict == "within bound"
    assert f"have number {order}" in outcome.reason
    assert run_self_test(other).verdict == "exact"  # equal bits are what they are
    outcome = run_self_test(Wrong(other, -1.0))  # type: ignore[arg-type]
    assert outcome.verdict == "failed"
    assert "logits up to 1 away" in outcome.reason


@pytest.mark.parametrize("error", [np.nan, np.inf, -1e30])
def test_what_is_no_logit_fails_everywhere(bundle: Bundle, error: float) -> None:
    for name in ENGINES:
        wrong: Any = Wrong(load_engine(bundle, name), error)
        assert run_self_test(wrong).verdict == "failed"
        with pytest.raises(WrongAnswer):
            check_at_load(wrong)


def test_other_label_within_the_bound_fails(bundle: Bundle, tmp_path: Path) -> None:
    """Two classes almost equal in the stored logits; export stores no such image."""
    engine = load_engine(bundle, "onnx")
    stored = read_stored_answers(bundle)
    assert stored is not None
    inputs = make_inputs(stored.images, bundle.manifest)
    logits = engine.predict(inputs)
    logits[:, 1] = logits.max(axis=1) + 1e-4
    changed = rewrite(bundle, tmp_path, self_test={"logits": logits})

    class Tied:
        name, implementation, bundle = "onnx", "cpu", changed

        def predict(self, images: np.ndarray) -> np.ndarray:
            (index,) = np.flatnonzero((inputs == images).all(axis=(1, 2, 3)))
            tied = logits[index : index + 1].copy()
            tied[:, 1] -= np.float32(2e-4)
            return tied

    outcome = run_self_test(Tied())  # type: ignore[arg-type]
    assert outcome.verdict == "failed"
    assert outcome.labels_that_differ > 0
    assert outcome.largest_difference is not None
    assert outcome.bound is not None
    assert outcome.largest_difference < outcome.bound


def test_labels_are_compared_without_the_logit_of_none_of_these(tmp_path: Path) -> None:
    """Whether it is the largest or not, the labels' order among themselves is what is shown."""
    known = Known("other", slope=1.0, offset=0.0, threshold=0.5)
    bundle = make_bundle(tmp_path / "bundle", self_test=True, graphs=False, known=known)
    engine = load_engine(bundle, "native")

    class Doubting(Wrong):
        def predict(self, images: np.ndarray) -> np.ndarray:
            logits = self._engine.predict(images)
            logits[:, -1] += np.float32(self._error)
            return logits

    outcome = run_self_test(Doubting(engine, 1000.0))  # type: ignore[arg-type]
    assert (outcome.verdict, outcome.labels_that_differ) == ("failed", 0)


def test_bundle_without_images_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    engine = load_engine(make_bundle(tmp_path / "bundle", graphs=False), "native")
    outcome = run_self_test(engine)
    assert (outcome.verdict, outcome.images, outcome.bound) == ("absent", 0, None)
    check_at_load(engine)


# ---- flipped weights ----


def rewrite(
    bundle: Bundle,
    folder: Path,
    weights: dict[str, np.ndarray] | None = None,
    self_test: dict[str, np.ndarray] | None = None,
) -> Bundle:
    """The bundle written anew, all sums right, with some tensors replaced."""
    files = {name: bundle.path / name for name in bundle.manifest.files}
    for name, tensors in ((WEIGHTS, weights), (SELF_TEST, self_test)):
        if tensors is not None:
            save_file({**load_file(files[name]), **tensors}, folder / name)
            files[name] = folder / name
    return write_bundle(folder / "changed", bundle.manifest, files)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_weight_is_noticed_in_any_layer(bundle: Bundle, data: st.DataObject) -> None:
    """One bit of a binary weight, a sign or the exponent of a float: noticed unless it changes
    nothing on other images either. models.flips measures how often that is.
    """
    tensors = {name: t for name, t in load_file(bundle.path / WEIGHTS).items()}
    names = sorted(name for name in tensors if not name.endswith(".threshold"))
    name = data.draw(st.sampled_from(names))
    tensor = tensors[name].copy()
    words = tensor.reshape(-1).view(np.uint32)
    index = data.draw(st.integers(0, words.size - 1))
    bit = data.draw(st.integers(0, 31) if tensor.dtype == np.uint32 else st.sampled_from([23, 31]))
    words[index] ^= np.uint32(1 << bit)
    others = make_images(bundle.manifest.plan, 64)
    with tempfile.TemporaryDirectory() as folder:
        changed = rewrite(bundle, Path(folder), {name: tensor})
        try:
            engine = load_engine(changed, "native")
        except WrongAnswer:
            return
        if run_self_test(engine).verdict != "failed":
            before = load_engine(bundle, "native").predict(others)
            assume(not np.array_equal(engine.predict(others), before))
            pytest.fail(f"{name}[{index}], bit {bit}, is not noticed")


def test_weights_of_another_network_are_noticed_at_load(bundle: Bundle, tmp_path: Path) -> None:
    """All sums are right, the network is another one of the same shape."""
    _, others = make_network(seed=1)
    changed = rewrite(bundle, tmp_path, others)
    for name in ENGINES:
        with pytest.raises(WrongAnswer, match=rf"(?s)engine {name}/.*within .* found .*report it"):
            load_engine(changed, name)


# ---- the bound ----


def stored(logits: list[float], spread: float = 0.0) -> StoredAnswers:
    return StoredAnswers(np.zeros((1, 3, 2, 2), np.uint8), np.array([logits], np.float32), spread)


@pytest.mark.parametrize(
    ("parity", "engine", "expected"),
    [
        ({"native": 0.1, "onnx": 0.2}, "onnx", 0.3),
        ({"native": 0.1, "onnx": 0.2}, "native", 0.2),
        ({"native": 0, "onnx": 0.0}, "onnx", 0.0),
        ({"onnx": 0.2}, "onnx", 6 * FEW_BITS),
        ({"native": "much", "onnx": 0.2}, "onnx", 6 * FEW_BITS),
        ({"native": True, "onnx": 0.2}, "onnx", 6 * FEW_BITS),
        ({"native": -1, "onnx": 0.2}, "onnx", 6 * FEW_BITS),
        ({"native": float("inf"), "onnx": 0.2}, "onnx", 6 * FEW_BITS),
        ({"native": 10**400, "onnx": 0.2}, "onnx", 6 * FEW_BITS),
    ],
)
def test_distances_from_the_training_graph_add_up(
    parity: dict[str, Any], engine: str, expected: float
) -> None:
    """The stored logits are an engine's own; logits up to 4 are rounded four times as far."""
    plan, _ = make_network()
    figures = {name: {"max_abs_logit_difference": value} for name, value in parity.items()}
    manifest = replace(make_manifest(plan), parity=figures)
    found = find_bound(manifest, engine, stored([4.0, -2.0], 0.5))
    assert found == pytest.approx(expected + 4 * ROUNDING + 0.5)


def test_engine_without_figures_has_a_bound_too() -> None:
    plan, _ = make_network()
    manifest = replace(make_manifest(plan), parity={"native": PARITY, "onnx": "not measured"})
    assert find_bound(manifest, "onnx", stored([0.5, -0.5])) == pytest.approx(FEW_BITS + ROUNDING)


# ---- the file ----


def test_images_are_enlarged_by_repetition_and_normalised() -> None:
    plan, _ = make_network(image=5, stem="thumbnail", pairs=(1,), transitions=())
    manifest = make_manifest(plan)
    images = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    inputs = make_inputs(images, manifest)
    assert inputs.shape == (2, 3, 5, 5)
    assert inputs.dtype == np.float32
    assert inputs.flags.c_contiguous
    expected = np.array([[4, 4, 4, 5, 5]] * 3 + [[6, 6, 6, 7, 7]] * 2, np.float32)
    assert np.array_equal(inputs[0, 1], (expected - np.float32(127.5)) / np.float32(127.5))


@pytest.mark.parametrize(
    "tensors",
    [
        {"images": np.zeros((12, 3, 16, 16), np.int8)},
        {"images": np.zeros((12, 3, 17, 16), np.uint8)},
        {"images": np.zeros((12, 3, 0, 16), np.uint8)},
        {"images": np.zeros((0, 3, 16, 16), np.uint8)},
        {
            "images": np.zeros((257, 3, 1, 1), np.uint8),
            "logits": np.zeros((257, 7), np.float32),
        },
        {"images": np.zeros((12, 1, 16, 16), np.uint8)},
        {"images": np.zeros(12, np.uint8)},
        {"logits": np.zeros((12, 6), np.float32)},
        {"logits": np.zeros((11, 7), np.float32)},
        {"logits": np.full((12, 7), np.nan, np.float32)},
        {"spread": np.zeros(2, np.float32)},
        {"spread": np.full(1, -1, np.float32)},
        {"spread": np.full(1, np.inf, np.float32)},
        {"more": np.zeros(1, np.float32)},
    ],
)
def test_malformed_files_are_refused(
    bundle: Bundle, tmp_path: Path, tensors: dict[str, np.ndarray]
) -> None:
    changed = rewrite(bundle, tmp_path, self_test=tensors)
    with pytest.raises(InvalidRecord, match=SELF_TEST):
        load_engine(changed, "native")


def test_file_that_was_changed_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    file = copy / SELF_TEST
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(Exception, match=rf"{SELF_TEST}: expected sha256"):
        read_bundle(copy)
