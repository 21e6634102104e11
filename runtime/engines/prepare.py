"""A bundle's plan and tensors -> layer groups prepared for the kernel library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.errors import REEXPORT, InvalidManifest, InvalidRecord, MissingFile
from runtime.kernels import library
from runtime.kernels.parts import (
    BinaryLayer,
    Convolution,
    Head,
    Int8,
    Part,
    Stage,
    Stem,
    Transition,
    Window,
)
from runtime.plan import (
    FloatLayer,
    HeadStep,
    Plan,
    StageStep,
    StemStep,
    Step,
    TransitionStep,
    check_network,
)

Tensors = Mapping[str, NDArray[Any]]


def prepare_bundle(bundle: Bundle) -> list[Part]:
    """Prepares every step of a bundle's plan for the active implementation, in execution order.

    Raises MissingFile for a bundle without plan, InvalidManifest, InvalidRecord, NativeUnavailable.
    """
    manifest = bundle.manifest
    if not manifest.plan:
        raise MissingFile(
            f"{bundle.path}: expected a plan of layer groups, found none: only the ONNX graph "
            "describes this network. Use the onnx engine."
        )
    check_network(manifest.plan, manifest.input, manifest.logits)
    return prepare_parts(manifest.plan, bundle.tensors())


def prepare_parts(plan: Plan, tensors: Tensors) -> list[Part]:
    """Prepares the steps of a plan for the active implementation.

    One uint8 [bytes] array a step, aligned to 64 bytes. Raises InvalidRecord if the tensors do not
    fit the plan, NativeUnavailable.
    """
    check_tensors(plan, tensors)
    return [_prepare_step(step, tensors) for step in plan]


def check_tensors(plan: Plan, tensors: Tensors) -> None:
    """Compares names, types, shapes and values of tensors with a plan. Raises InvalidRecord."""
    expected = plan.tensors()
    for difference, what in (
        (expected.keys() - tensors.keys(), "lacks"),
        (tensors.keys() - expected.keys(), "has, but the plan does not,"),
    ):
        if difference:
            raise InvalidRecord(
                f"the weight file {what} {', '.join(sorted(difference)[:5])} "
                f"({len(difference)} in all); expected the {len(expected)} tensors of the plan. "
                f"{REEXPORT}"
            )
    for name, (dtype, shape) in expected.items():
        array = tensors[name]
        if array.dtype != dtype or array.shape != shape:
            raise InvalidRecord(
                f"{name}: expected {dtype} {list(shape)}, found {array.dtype} {list(array.shape)}. "
                f"{REEXPORT}"
            )
        if dtype == np.float32:  # the threshold of a constant channel is infinite
            bad = np.isnan(array) if name.endswith(".threshold") else ~np.isfinite(array)
            if bad.any():
                raise InvalidRecord(
                    f"{name}: expected {'numbers' if name.endswith('.threshold') else 'finite'} "
                    f"values, found {array[bad].flat[0]}. {REEXPORT}"
                )


def _prepare_step(step: Step, tensors: Tensors) -> Part:
    def get(suffix: str) -> NDArray[Any]:
        return np.require(tensors[f"{step.name}.{suffix}"], requirements=["C", "A"])

    try:
        part = _prepare(step, get)
    except ValueError as error:
        raise InvalidRecord(f"{step.name}: {error}. {REEXPORT}") from error
    info = library.describe_part(part)
    output = info.output[: len(step.output)]
    if info.input != step.input or output != step.output:
        raise InvalidManifest(
            f"plan: {step.name} says {list(step.input)} -> {list(step.output)}, but the kernels "
            f"make it {list(info.input)} -> {list(output)}. {REEXPORT}"
        )
    return part


# ---- the kinds of layer groups -------------------------------------------------------------------

_Get = Callable[[str], NDArray[Any]]


def _prepare(step: Step, get: _Get) -> Part:
    match step:
        case StemStep():
            return _prepare_stem(step, get)
        case StageStep():
            return _prepare_stage(step, get)
        case TransitionStep():
            return _prepare_transition(step, get)
        case HeadStep():
            return _prepare_head(step, get)


def _int8(layer: FloatLayer, prefix: str, get: _Get) -> Int8 | None:
    if not layer.is_int8:
        return None
    return Int8(get(f"{prefix}sum_scale"), float(get(f"{prefix}inverse_step")[0]))


def _prepare_stem(step: StemStep, get: _Get) -> Part:
    convolutions = [
        Convolution(
            get(f"conv{i}.weight"),
            get(f"conv{i}.bias"),
            conv.window,
            conv.groups,
            conv.relu,
            _int8(conv, f"conv{i}.", get),
        )
        for i, conv in enumerate(step.convolutions)
    ]
    _, height, width = step.input
    return library.prepare_stem(Stem(height, width, convolutions, step.pool))


def _prepare_stage(step: StageStep, get: _Get) -> Part:
    layers = [
        BinaryLayer(
            get(f"layer{i}.weight"),
            get(f"layer{i}.threshold"),
            get(f"layer{i}.flip"),
            kind == "improvement",
        )
        for i, kind in enumerate(step.layers)
    ]
    channels, height, width = step.input
    return library.prepare_stage(Stage(channels, height, width, step.padding, layers))


def _prepare_transition(step: TransitionStep, get: _Get) -> Part:
    _, height, width = step.input
    int8 = _int8(step, "", get)
    convolution = Convolution(get("weight"), None, Window(1, 1), step.groups, int8=int8)
    return library.prepare_transition(
        Transition(
            *(get("scale"), get("shift"), height, width),
            *(step.pool, step.shuffle_groups, convolution),
        )
    )


def _prepare_head(step: HeadStep, get: _Get) -> Part:
    _, height, width = step.input
    return library.prepare_head(
        Head(
            *(get("scale"), get("shift"), get("weight"), get("bias"), height, width),
            _int8(step, "", get),
        )
    )
