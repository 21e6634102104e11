"""A bundle's plan and tensors -> prepared parts of the kernel library, for our two engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import library
from runtime.bundle import REEXPORT, Bundle
from runtime.errors import InvalidManifest, InvalidRecord, MissingFile
from runtime.parts import (
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

Step = Mapping[str, Any]
Tensors = Mapping[str, NDArray[Any]]
Shape = tuple[int, ...]

WORD_BITS = 32
ARITHMETICS = ("float32", "int8")  # of float layers; the first one is meant if none is named
MAX_SIZE = 2**27  # values in one activation map, 512 MiB: far beyond any network that fits here


def prepare_bundle(bundle: Bundle) -> list[Part]:
    """Prepares every step of a bundle's plan for the active implementation, in execution order.

    Raises MissingFile for a bundle without plan, InvalidManifest, InvalidRecord, NativeUnavailable.
    """
    manifest = bundle.manifest
    if not manifest.plan:
        raise MissingFile(
            f"{bundle.path}: expected a plan of packed parts, found none: only the ONNX graph "
            "describes this network. Use the onnx engine."
        )
    first, last = manifest.plan[0].get("input"), manifest.plan[-1].get("output")
    if first != list(manifest.input) or last != [manifest.classes]:
        raise InvalidManifest(
            f"{bundle.path}: expected a plan from {list(manifest.input)} to {[manifest.classes]} "
            f"as input and labels say, found one from {first} to {last}. {REEXPORT}"
        )
    return prepare_parts(manifest.plan, bundle.tensors())


def prepare_parts(plan: Sequence[Step], tensors: Tensors) -> list[Part]:
    """Prepares the steps of a plan for the active implementation.

    One uint8 [bytes] array a step, aligned to 64 bytes. Raises InvalidManifest if the plan does not
    hang together, InvalidRecord if the tensors do not fit it, NativeUnavailable.
    """
    check_tensors(plan, tensors)
    parts = []
    previous: Any = None
    for step in plan:
        if previous is not None and step["input"] != previous:
            raise InvalidManifest(
                f"plan: {step['name']} expects {step['input']}, but the step before yields "
                f"{previous}. {REEXPORT}"
            )
        parts.append(_prepare_step(step, tensors))
        previous = step["output"]
    return parts


def expected_tensors(plan: Sequence[Step]) -> dict[str, tuple[np.dtype[Any], Shape]]:
    """Name -> (dtype, shape) of every tensor that a plan needs. Raises InvalidManifest."""
    expected: dict[str, tuple[np.dtype[Any], Shape]] = {}
    names = set()
    for number, step in enumerate(plan):
        where = f"step {number}"
        name, part = _text(step, "name", where), _text(step, "part", where)
        if part not in _PARTS:
            raise InvalidManifest(
                f"plan: {name}: expected a part of {', '.join(_PARTS)}, found {part!r}. {REEXPORT}"
            )
        if name in names:
            raise InvalidManifest(f"plan: expected different names, found {name} twice. {REEXPORT}")
        names.add(name)
        for shape, lengths in (("input", (3,)), ("output", (1,) if part == "head" else (3,))):
            _shape(step, shape, name, lengths)
        for suffix, (dtype, size) in _PARTS[part][0](step).items():
            expected[f"{name}.{suffix}"] = (np.dtype(dtype), size)
    return expected


def check_tensors(plan: Sequence[Step], tensors: Tensors) -> None:
    """Compares names, types, shapes and values of tensors with a plan.

    Raises InvalidManifest, InvalidRecord.
    """
    expected = expected_tensors(plan)
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
    name, kind = step["name"], step["part"]

    def get(suffix: str) -> NDArray[Any]:
        return np.require(tensors[f"{name}.{suffix}"], requirements=["C", "A"])

    try:
        part = _PARTS[kind][1](step, get)
    except ValueError as error:
        raise InvalidRecord(f"{name}: {error}. {REEXPORT}") from error
    info = library.describe_part(part)
    output = list(info.output[:1] if kind == "head" else info.output)
    if list(info.input) != step["input"] or output != step["output"]:
        raise InvalidManifest(
            f"plan: {name} says {step['input']} -> {step['output']}, but its fields make it "
            f"{list(info.input)} -> {output}. {REEXPORT}"
        )
    return part


# ---- reading fields ------------------------------------------------------------------------------


def _field(step: Any, key: str, where: str, what: str) -> Any:
    if not isinstance(step, Mapping) or key not in step:
        raise InvalidManifest(f"plan: {where}: expected {what} as `{key}`, found none. {REEXPORT}")
    return step[key]


def _text(step: Step, key: str, where: str) -> str:
    value = _field(step, key, where, "a name")
    if not isinstance(value, str) or not value.isidentifier():
        raise InvalidManifest(
            f"plan: {where}: expected a name as `{key}`, found {value!r}. {REEXPORT}"
        )
    return value


def _is_whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < 2**31


def _whole(step: Step, key: str, where: str, low: int = 1) -> int:
    value = _field(step, key, where, "a whole number")
    if not _is_whole(value, low):
        raise InvalidManifest(
            f"plan: {where}: expected a whole number from {low} as `{key}`, found {value!r}. "
            f"{REEXPORT}"
        )
    return int(value)


def _list(step: Step, key: str, where: str) -> list[Any]:
    value = _field(step, key, where, "a list")
    if not isinstance(value, list):
        raise InvalidManifest(
            f"plan: {where}: expected a list as `{key}`, found {value!r:.80}. {REEXPORT}"
        )
    return value


def _shape(step: Step, key: str, where: str, lengths: Sequence[int]) -> Shape:
    value = _list(step, key, where)
    whole = all(_is_whole(size, 1) for size in value)
    if len(value) not in lengths or not whole or np.prod(value, dtype=np.float64) > MAX_SIZE:
        raise InvalidManifest(
            f"plan: {where}: expected {lengths[0]} whole numbers from 1, at most {MAX_SIZE} "
            f"values, as `{key}`, found {value!r:.80}. {REEXPORT}"
        )
    return tuple(value)


def _window(step: Step, where: str) -> Window:
    padding = _list(step, "padding", where)
    if len(padding) != 2 or not all(_is_whole(value, 0) for value in padding):
        raise InvalidManifest(
            f"plan: {where}: expected [before, after] as `padding`, found {padding!r:.80}. "
            f"{REEXPORT}"
        )
    return Window(_whole(step, "kernel", where), _whole(step, "stride", where), *padding)


def _pool(step: Step) -> Window | None:
    pool = _field(step, "pool", step["name"], "a window or null")
    return None if pool is None else _window(pool, f"{step['name']}: pool")


def _grouped(channels: int, groups: int, where: str) -> int:
    if channels % groups:
        raise InvalidManifest(
            f"plan: {where}: expected groups that divide {channels} channels, found {groups}. "
            f"{REEXPORT}"
        )
    return channels // groups


def is_int8(step: Step, where: str) -> bool:
    """Whether a step, or a convolution of a stem, computes in 8 bits. Raises InvalidManifest."""
    arithmetic = step.get("arithmetic", ARITHMETICS[0])
    if arithmetic not in ARITHMETICS:
        raise InvalidManifest(
            f"plan: {where}: expected {' or '.join(ARITHMETICS)} as `arithmetic`, found "
            f"{arithmetic!r:.80}. {REEXPORT}"
        )
    return bool(arithmetic == "int8")


# ---- the four kinds of parts: the tensors they need, and their preparation -----------------------

_Needs = dict[str, tuple[type[np.generic], Shape]]
_Get = Callable[[str], NDArray[Any]]


def _weight_tensors(step: Step, where: str, prefix: str, shape: Shape) -> _Needs:
    """Of a float layer, in the arithmetic that the step names."""
    if not is_int8(step, where):
        return {f"{prefix}weight": (np.float32, shape)}
    return {
        f"{prefix}weight": (np.int8, shape),
        f"{prefix}sum_scale": (np.float32, shape[:1]),
        f"{prefix}inverse_step": (np.float32, (1,)),
    }


def _int8(step: Step, where: str, prefix: str, get: _Get) -> Int8 | None:
    if not is_int8(step, where):
        return None
    return Int8(get(f"{prefix}sum_scale"), float(get(f"{prefix}inverse_step")[0]))


def _stem_tensors(step: Step) -> _Needs:
    needs: _Needs = {}
    for i, conv in enumerate(_list(step, "convolutions", step["name"])):
        where = f"{step['name']}: convolution {i}"
        channels_in, channels_out, kernel, groups = (
            _whole(conv, key, where) for key in ("channels_in", "channels_out", "kernel", "groups")
        )
        per_group = _grouped(channels_in, groups, where)
        shape = (channels_out, per_group, kernel, kernel)
        needs |= _weight_tensors(conv, where, f"conv{i}.", shape)
        needs[f"conv{i}.bias"] = (np.float32, (channels_out,))
    return needs


def _prepare_stem(step: Step, get: _Get) -> Part:
    convolutions = [
        Convolution(
            get(f"conv{i}.weight"),
            get(f"conv{i}.bias"),
            _window(conv, f"{step['name']}: convolution {i}"),
            conv["groups"],
            bool(_field(conv, "relu", f"{step['name']}: convolution {i}", "true or false")),
            _int8(conv, f"{step['name']}: convolution {i}", f"conv{i}.", get),
        )
        for i, conv in enumerate(step["convolutions"])
    ]
    _, height, width = step["input"]
    return library.prepare_stem(Stem(height, width, convolutions, _pool(step)))


def _stage_tensors(step: Step) -> _Needs:
    name, channels = step["name"], step["input"][0]
    if _whole(step, "growth", name) != library.GROWTH or channels % WORD_BITS:
        raise InvalidManifest(
            f"plan: {name}: expected growth {library.GROWTH} and channels in whole words of "
            f"{WORD_BITS}, found growth {step['growth']}, {channels} channels. {REEXPORT}"
        )
    needs: _Needs = {}
    for i, kind in enumerate(_list(step, "layers", name)):
        if kind not in ("dense", "improvement"):
            raise InvalidManifest(
                f"plan: {name}: expected dense or improvement as layer {i}, found {kind!r}. "
                f"{REEXPORT}"
            )
        words = channels // WORD_BITS
        needs[f"layer{i}.weight"] = (np.uint32, (library.GROWTH, 3, 3, words))
        needs[f"layer{i}.threshold"] = (np.float32, (channels,))
        needs[f"layer{i}.flip"] = (np.uint32, (words,))
        channels += library.GROWTH if kind == "dense" else 0
    return needs


def _prepare_stage(step: Step, get: _Get) -> Part:
    layers = [
        BinaryLayer(
            get(f"layer{i}.weight"),
            get(f"layer{i}.threshold"),
            get(f"layer{i}.flip"),
            kind == "improvement",
        )
        for i, kind in enumerate(step["layers"])
    ]
    padding = _whole(step, "padding", step["name"], low=-1)
    channels, height, width = step["input"]
    return library.prepare_stage(Stage(channels, height, width, padding, layers))


def _transition_tensors(step: Step) -> _Needs:
    channels, channels_out = step["input"][0], step["output"][0]
    per_group = _grouped(channels, _whole(step, "groups", step["name"]), step["name"])
    return {
        "scale": (np.float32, (channels,)),
        "shift": (np.float32, (channels,)),
    } | _weight_tensors(step, step["name"], "", (channels_out, per_group, 1, 1))


def _prepare_transition(step: Step, get: _Get) -> Part:
    _, height, width = step["input"]
    int8 = _int8(step, step["name"], "", get)
    convolution = Convolution(get("weight"), None, Window(1, 1), step["groups"], int8=int8)
    shuffle_groups = _whole(step, "shuffle_groups", step["name"])
    return library.prepare_transition(
        Transition(
            get("scale"), get("shift"), height, width, _pool(step), shuffle_groups, convolution
        )
    )


def _head_tensors(step: Step) -> _Needs:
    channels, classes = step["input"][0], step["output"][0]
    return {
        "scale": (np.float32, (channels,)),
        "shift": (np.float32, (channels,)),
        "bias": (np.float32, (classes,)),
    } | _weight_tensors(step, step["name"], "", (classes, channels))


def _prepare_head(step: Step, get: _Get) -> Part:
    _, height, width = step["input"]
    return library.prepare_head(
        Head(
            *(get("scale"), get("shift"), get("weight"), get("bias"), height, width),
            _int8(step, step["name"], "", get),
        )
    )


_PARTS: dict[str, tuple[Callable[[Step], _Needs], Callable[[Step, _Get], Part]]] = {
    "stem": (_stem_tensors, _prepare_stem),
    "stage": (_stage_tensors, _prepare_stage),
    "transition": (_transition_tensors, _prepare_transition),
    "head": (_head_tensors, _prepare_head),
}
