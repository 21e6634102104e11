"""The plan of a bundle: its steps are checked against the format and against each other.

A plan is a list of JSON objects in execution order: stem, stage, transition, stage, ..., head.
Whatever reads one, the kernels, the graphs and the float twin, relies on what is checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from runtime.errors import REEXPORT, InvalidManifest
from runtime.parts import Window

Step = Mapping[str, Any]
Shape = tuple[int, ...]
TensorTypes = dict[str, tuple[type[np.generic], Shape]]  # name -> (dtype, shape)

GROWTH = 64  # channels that a layer of a stage makes
WORD_BITS = 32
ARITHMETICS = ("float32", "int8")  # of float layers; the first one is meant if none is named
MAX_SIZE = 2**27  # values in one activation map, 512 MiB: far beyond any network that fits here

_WINDOW = ("kernel", "stride", "padding")
_CONVOLUTION = ("channels_in", "channels_out", *_WINDOW, "groups", "relu")
_STEP = ("name", "part", "input", "output")


def check_plan(plan: Sequence[Step]) -> None:
    """Checks keys, types and values of every step, that its output follows from its input, and that
    it takes what the step before yields.

    Raises InvalidManifest.
    """
    names: set[str] = set()
    previous: list[int] | None = None
    for number, step in enumerate(plan):
        where = f"step {number}"
        name, part = _text(step, "name", where), _text(step, "part", where)
        if part not in _PARTS:
            raise _invalid(name, f"expected a part of {', '.join(_PARTS)}, found {part!r}")
        if name in names:
            raise InvalidManifest(f"plan: expected different names, found {name} twice. {REEXPORT}")
        names.add(name)
        keys, find_output, _ = _PARTS[part]
        _check_keys(step, (*_STEP, *keys), ("arithmetic",) if part in _MAY_BE_INT8 else (), name)
        for shape, length in (("input", 3), ("output", 1 if part == "head" else 3)):
            _shape(step, shape, name, length)
        if previous is not None and step["input"] != previous:
            raise _invalid(
                "", f"{name} expects {step['input']}, but the step before yields {previous}"
            )
        output = find_output(step)
        if output != step["output"]:
            raise _invalid(
                "",
                f"{name} says {step['input']} -> {step['output']}, but its fields make it "
                f"{step['input']} -> {output}",
            )
        previous = output


def check_network(plan: Sequence[Step], image: Shape, classes: int) -> None:
    """check_plan, and that it leads from an image of that shape to one logit for each class.

    Raises InvalidManifest.
    """
    check_plan(plan)
    first, last = plan[0]["input"], plan[-1]["output"]
    if first != list(image) or last != [classes]:
        raise _invalid(
            "",
            f"expected one from {list(image)} to {[classes]} as input and labels say, found one "
            f"from {first} to {last}",
        )


def expected_tensors(plan: Sequence[Step]) -> dict[str, tuple[np.dtype[Any], Shape]]:
    """Name -> (dtype, shape) of every tensor that a plan needs. Raises InvalidManifest."""
    check_plan(plan)
    return {
        f"{step['name']}.{suffix}": (np.dtype(dtype), shape)
        for step in plan
        for suffix, (dtype, shape) in _PARTS[step["part"]][2](step).items()
    }


def is_int8(layer: Step) -> bool:
    """Whether a step, or a convolution of a stem, computes in 8 bits."""
    return bool(layer.get("arithmetic") == "int8")


def read_window(step: Step) -> Window:
    """The window of a convolution or a pool."""
    return Window(step["kernel"], step["stride"], *step["padding"])


def read_pool(step: Step) -> Window | None:
    """The window of a step's pool, if it has one."""
    return None if step["pool"] is None else read_window(step["pool"])


# ---- checking fields -----------------------------------------------------------------------------


def _invalid(where: str, what: str) -> InvalidManifest:
    return InvalidManifest(f"plan: {f'{where}: ' if where else ''}{what}. {REEXPORT}")


def _check_keys(step: Step, needed: Iterable[str], optional: Iterable[str], where: str) -> None:
    """That no key is there which the format has not; the others are looked up by name."""
    known = {*needed, *optional}
    for key in step:
        if key not in known:
            raise _invalid(where, f"expected the keys {', '.join(needed)}, found {key[:80]!r}")


def _field(step: Any, key: str, where: str, what: str) -> Any:
    if not isinstance(step, Mapping) or key not in step:
        raise _invalid(where, f"expected {what} as `{key}`, found none")
    return step[key]


def _text(step: Step, key: str, where: str) -> str:
    value = _field(step, key, where, "a name")
    if not isinstance(value, str) or not value.isidentifier():
        raise _invalid(where, f"expected a name as `{key}`, found {value!r:.80}")
    return value


def _is_whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < 2**31


def _whole(step: Step, key: str, where: str, low: int = 1) -> int:
    value = _field(step, key, where, "a whole number")
    if not _is_whole(value, low):
        raise _invalid(where, f"expected a whole number from {low} as `{key}`, found {value!r:.80}")
    return int(value)


def _list(step: Step, key: str, where: str) -> list[Any]:
    value = _field(step, key, where, "a list")
    if not isinstance(value, list):
        raise _invalid(where, f"expected a list as `{key}`, found {value!r:.80}")
    return value


def _shape(step: Step, key: str, where: str, length: int) -> None:
    value = _list(step, key, where)
    whole = all(_is_whole(size, 1) for size in value)
    if len(value) != length or not whole or np.prod(value, dtype=np.float64) > MAX_SIZE:
        raise _invalid(
            where,
            f"expected {length} whole numbers from 1, at most {MAX_SIZE} values, as `{key}`, found "
            f"{value!r:.80}",
        )


def _arithmetic(layer: Step, where: str) -> None:
    arithmetic = layer.get("arithmetic", ARITHMETICS[0])
    if arithmetic not in ARITHMETICS:
        raise _invalid(
            where,
            f"expected {' or '.join(ARITHMETICS)} as `arithmetic`, found {arithmetic!r:.80}",
        )


def _groups(channels: int, step: Step, where: str, key: str = "groups") -> int:
    groups = _whole(step, key, where)
    if channels % groups:
        raise _invalid(where, f"expected {key} that divide {channels} channels, found {groups}")
    return groups


def _slide(step: Step, height: int, width: int, where: str) -> tuple[int, int]:
    """How many positions a window has in a map: [height, width]."""
    padding = _list(step, "padding", where)
    if len(padding) != 2 or not all(_is_whole(value, 0) for value in padding):
        raise _invalid(where, f"expected [before, after] as `padding`, found {padding!r:.80}")
    kernel, stride = _whole(step, "kernel", where), _whole(step, "stride", where)
    if max(padding) >= kernel or min(height, width) + sum(padding) < kernel:
        raise _invalid(
            where,
            f"expected a padding below the kernel, and a kernel that fits the padded map; found "
            f"kernel {kernel} and padding {padding} on {height}x{width}",
        )
    down, across = ((side + sum(padding) - kernel) // stride + 1 for side in (height, width))
    return down, across


def _pool(step: Step, height: int, width: int) -> tuple[int, int]:
    pool = _field(step, "pool", step["name"], "a window or null")
    where = f"{step['name']}: pool"
    if pool is None:
        return height, width
    down, across = _slide(pool, height, width, where)
    _check_keys(pool, _WINDOW, (), where)
    return down, across


# ---- the four kinds of parts: the output that their fields make, the tensors they need ----------


def _weight_tensors(layer: Step, prefix: str, shape: Shape) -> TensorTypes:
    """Of a float layer, in the arithmetic that it names."""
    if not is_int8(layer):
        return {f"{prefix}weight": (np.float32, shape)}
    return {
        f"{prefix}weight": (np.int8, shape),
        f"{prefix}sum_scale": (np.float32, shape[:1]),
        f"{prefix}inverse_step": (np.float32, (1,)),
    }


def _stem_output(step: Step) -> list[int]:
    channels, height, width = step["input"]
    for i, conv in enumerate(_list(step, "convolutions", step["name"])):
        where = f"{step['name']}: convolution {i}"
        if _whole(conv, "channels_in", where) != channels:
            raise _invalid(
                where, f"expected {channels} as `channels_in`, found {conv['channels_in']}"
            )
        _check_keys(conv, _CONVOLUTION, ("arithmetic",), where)
        channels = _whole(conv, "channels_out", where)
        _groups(conv["channels_in"], conv, where)
        _groups(channels, conv, where)
        if not isinstance(_field(conv, "relu", where, "true or false"), bool):
            raise _invalid(where, f"expected true or false as `relu`, found {conv['relu']!r:.80}")
        _arithmetic(conv, where)
        if i == 0 and is_int8(conv):
            raise _invalid(where, "expected float32, as its input has a sign, found int8")
        height, width = _slide(conv, height, width, where)
    return [channels, *_pool(step, height, width)]


def _stem_tensors(step: Step) -> TensorTypes:
    needs: TensorTypes = {}
    for i, conv in enumerate(step["convolutions"]):
        outputs, kernel = conv["channels_out"], conv["kernel"]
        shape = (outputs, conv["channels_in"] // conv["groups"], kernel, kernel)
        needs |= _weight_tensors(conv, f"conv{i}.", shape)
        needs[f"conv{i}.bias"] = (np.float32, (outputs,))
    return needs


def _stage_output(step: Step) -> list[int]:
    name, (channels, height, width) = step["name"], step["input"]
    if _whole(step, "growth", name) != GROWTH or channels % WORD_BITS:
        raise _invalid(
            name,
            f"expected growth {GROWTH} and channels in whole words of {WORD_BITS}, found growth "
            f"{step['growth']}, {channels} channels",
        )
    if _whole(step, "padding", name, low=-1) > 1:
        raise _invalid(name, f"expected -1, 0 or 1 as `padding`, found {step['padding']}")
    layers = _list(step, "layers", name)
    for i, kind in enumerate(layers):
        if kind not in ("dense", "improvement"):
            raise _invalid(name, f"expected dense or improvement as layer {i}, found {kind!r:.80}")
    if layers[:1] != ["dense"]:
        raise _invalid(name, "expected a dense layer first, found none to improve")
    return [channels + GROWTH * layers.count("dense"), height, width]


def _stage_tensors(step: Step) -> TensorTypes:
    needs: TensorTypes = {}
    channels = step["input"][0]
    for i, kind in enumerate(step["layers"]):
        words = channels // WORD_BITS
        needs[f"layer{i}.weight"] = (np.uint32, (GROWTH, 3, 3, words))
        needs[f"layer{i}.threshold"] = (np.float32, (channels,))
        needs[f"layer{i}.flip"] = (np.uint32, (words,))
        channels += GROWTH if kind == "dense" else 0
    return needs


def _transition_output(step: Step) -> list[int]:
    name, (channels, height, width) = step["name"], step["input"]
    _groups(channels, step, name)
    _groups(step["output"][0], step, name)
    _groups(channels, step, name, "shuffle_groups")
    _arithmetic(step, name)
    return [step["output"][0], *_pool(step, height, width)]


def _transition_tensors(step: Step) -> TensorTypes:
    channels, channels_out = step["input"][0], step["output"][0]
    return {
        "scale": (np.float32, (channels,)),
        "shift": (np.float32, (channels,)),
    } | _weight_tensors(step, "", (channels_out, channels // step["groups"], 1, 1))


def _head_output(step: Step) -> list[int]:
    _arithmetic(step, step["name"])
    return list(step["output"])


def _head_tensors(step: Step) -> TensorTypes:
    channels, classes = step["input"][0], step["output"][0]
    return {
        "scale": (np.float32, (channels,)),
        "shift": (np.float32, (channels,)),
        "bias": (np.float32, (classes,)),
    } | _weight_tensors(step, "", (classes, channels))


_MAY_BE_INT8 = ("transition", "head")
_Part = tuple[tuple[str, ...], Callable[[Step], list[int]], Callable[[Step], TensorTypes]]
_PARTS: dict[str, _Part] = {  # name -> (keys of its own, output, tensors)
    "stem": (("convolutions", "pool"), _stem_output, _stem_tensors),
    "stage": (("growth", "padding", "layers"), _stage_output, _stage_tensors),
    "transition": (("pool", "shuffle_groups", "groups"), _transition_output, _transition_tensors),
    "head": ((), _head_output, _head_tensors),
}
