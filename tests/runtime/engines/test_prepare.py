"""Plan and tensors -> prepared parts: right ones run, wrong ones have their own error."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.bundle import Bundle
from runtime.engines.prepare import check_tensors, prepare_bundle, prepare_parts
from runtime.errors import InvalidManifest, InvalidRecord, MissingFile
from runtime.kernels import library
from runtime.kernels.bitpack import run_stage
from runtime.kernels.parts import BinaryLayer, Stage
from runtime.plan import HeadStep, Plan, StageStep
from tests.runtime.bundles import (
    Tensors,
    make_bundle,
    make_images,
    make_manifest,
    make_network,
)

VARIANTS: list[dict[str, Any]] = [
    {},
    {"stem": "grouped", "image": 32, "padding": 0},
    {"stem": "thumbnail", "image": 8, "padding": 1, "improvement": False},
    {"pairs": (2,), "transitions": ()},
    {"transitions": (160,), "groups": 4, "shuffle": 16, "classes": 130},
]
STEM, TRANSITION, HEAD = 0, 2, 4


def set_head(plan: Plan, **changes: Any) -> Plan:
    head = plan[HEAD]
    assert isinstance(head, HeadStep)
    return Plan((*plan[:HEAD], replace(head, **changes)))


@pytest.fixture
def network() -> tuple[Plan, Tensors]:
    """A network of the test's own, to be spoilt."""
    return make_network()


@pytest.mark.parametrize("options", VARIANTS)
def test_parts_have_the_shapes_of_the_plan(options: dict[str, Any]) -> None:
    plan, tensors = make_network(**options)
    x = make_images(plan)
    for step, part in zip(plan, prepare_parts(plan, tensors), strict=True):
        assert part.dtype == np.uint8
        assert part.ctypes.data % library.ALIGNMENT == 0
        assert library.describe_part(part).kind == step.part
        x = library.run_part(part, x)
        assert x.shape[1:] == step.output
        assert np.isfinite(x).all()


@pytest.mark.parametrize("padding", [-1, 0, 1])
def test_stage_equals_its_definition(padding: int) -> None:
    plan, tensors = make_network(pairs=(2, 1), padding=padding)
    step, part = plan[1], prepare_parts(plan, tensors)[1]
    assert isinstance(step, StageStep)
    channels, height, width = step.input
    x = np.random.default_rng(0).standard_normal((2, channels, height, width)).astype(np.float32)
    layers = [
        BinaryLayer(
            *(tensors[f"stage1.layer{i}.{name}"] for name in ("weight", "threshold", "flip")),
            kind == "improvement",
        )
        for i, kind in enumerate(step.layers)
    ]
    stage = Stage(channels, height, width, padding, layers)
    expected = np.stack([run_stage(stage, image) for image in x])
    assert np.array_equal(library.run_part(part, x), expected)


def test_all_tensors_of_a_plan_are_expected(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    assert plan.tensors() == found


def test_int8_layers_have_int8_weights_and_scales() -> None:
    plan, tensors = make_network(int8=True)
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    assert plan.tensors() == found
    assert found["stem.conv0.weight"] == (np.float32, (32, 3, 3, 3))
    assert found["stem.conv1.weight"] == (np.int8, (64, 32, 3, 3))
    assert found["transition1.sum_scale"] == (np.float32, (96,))
    kernels = [library.report_part(part)[-1]["kernel"] for part in prepare_parts(plan, tensors)]
    assert [kernels[i] for i in (STEM, TRANSITION, HEAD)] == [
        "int8_tile",
        "int8_tile",
        "int8_dense",
    ]


def test_float_weights_for_int8_arithmetic_are_refused(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    plan = set_head(plan, arithmetic="int8")
    tensors["head.sum_scale"] = np.ones(7, np.float32)
    tensors["head.inverse_step"] = np.ones(1, np.float32)
    with pytest.raises(InvalidRecord, match=r"head\.weight: expected int8 .* found float32"):
        check_tensors(plan, tensors)


def test_arithmetic_named_float32_is_the_default(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    named = set_head(plan, arithmetic="float32")
    for a, b in zip(prepare_parts(plan, tensors), prepare_parts(named, tensors), strict=True):
        assert np.array_equal(a, b)


def test_unaligned_tensors_are_accepted(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    shifted, rng = {}, np.random.default_rng(1)
    for name, tensor in tensors.items():
        room = np.empty(tensor.nbytes + 1, np.uint8)[1:]
        room[:] = np.frombuffer(tensor.tobytes(), np.uint8)
        shifted[name] = room.view(tensor.dtype).reshape(tensor.shape)
    for a, b in zip(prepare_parts(plan, tensors), prepare_parts(plan, shifted), strict=True):
        x = rng.standard_normal((2, *library.describe_part(a).input)).astype(np.float32)
        assert np.array_equal(library.run_part(a, x), library.run_part(b, x))


# ---- tensors that do not fit ----


def test_missing_tensor_is_named(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    del tensors["stage1.layer0.flip"]
    with pytest.raises(
        InvalidRecord, match=r"lacks stage1\.layer0\.flip .*Export the bundle again"
    ):
        check_tensors(plan, tensors)


def test_unknown_tensor_is_named(network: tuple[Plan, Tensors]) -> None:
    plan, tensors = network
    tensors["stage9.layer0.flip"] = np.zeros(2, np.uint32)
    with pytest.raises(InvalidRecord, match=r"has, but the plan does not, stage9\.layer0\.flip"):
        check_tensors(plan, tensors)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "stem.conv0.weight",
            np.zeros((32, 3, 3, 4), np.float32),
            r"expected float32 \[32, 3, 3, 3\]",
        ),
        ("stem.conv0.bias", np.zeros(32, np.uint32), r"found uint32 \[32\]"),
        (
            "stage1.layer1.weight",
            np.zeros((64, 3, 3, 2), np.uint32),
            r"uint32 \[64, 3, 3, 4\], found",
        ),
        (
            "transition1.scale",
            np.full(128, np.inf, np.float32),
            "expected finite values, found inf",
        ),
        ("head.bias", np.full(7, np.nan, np.float32), "expected finite values, found nan"),
        (
            "stage1.layer0.threshold",
            np.full(64, np.nan, np.float32),
            "expected numbers values, found nan",
        ),
    ],
)
def test_tensor_that_does_not_fit_says_expected_and_found(
    network: tuple[Plan, Tensors], name: str, value: np.ndarray, text: str
) -> None:
    plan, tensors = network
    tensors[name] = value
    with pytest.raises(InvalidRecord, match=rf"{name}: .*{text}"):
        prepare_parts(plan, tensors)


# ---- what is asked of the plan and of the kernel library ----


def test_what_the_library_refuses_keeps_its_words() -> None:
    plan, tensors = make_network(int8=True)
    tensors["head.inverse_step"] = np.zeros(1, np.float32)
    with pytest.raises(
        InvalidRecord, match="head: bnn_head: 8-bit: expected positive values, found 0"
    ):
        prepare_parts(plan, tensors)


# ---- bundles ----


def test_bundle_is_prepared_from_its_files(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False)
    assert len(prepare_bundle(bundle)) == len(bundle.manifest.plan)


def test_bundle_without_plan_points_to_the_onnx_engine(tmp_path: Path) -> None:
    plan, _ = make_network()
    manifest = make_manifest(plan)
    empty = Bundle(tmp_path, type(manifest)(**{**vars(manifest), "plan": Plan()}))
    with pytest.raises(MissingFile, match=r"only the ONNX graph .* Use the onnx engine"):
        prepare_bundle(empty)


def test_bundle_whose_plan_ends_elsewhere_is_refused(tmp_path: Path) -> None:
    plan, _ = make_network()
    manifest = make_manifest(plan)
    fewer = Bundle(tmp_path, type(manifest)(**{**vars(manifest), "labels": ("one",)}))
    with pytest.raises(InvalidManifest, match=r"to \[1\] .* found one from \[3, 16, 16\] to \[7\]"):
        prepare_bundle(fewer)
