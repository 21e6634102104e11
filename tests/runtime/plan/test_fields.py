"""runtime.plan.fields: what a field may hold, within limits that are the kernel library's."""

from typing import Any

import numpy as np
import pytest

from runtime.errors import InvalidManifest
from runtime.kernels import library
from runtime.kernels.parts import Convolution, Head, Stem, Window
from runtime.plan.fields import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_SIDE,
    MAX_WINDOW,
    Fields,
    check_groups,
    check_shape,
    describe_window,
    slide,
)

OBJECT: dict[str, Any] = {
    **{"name": "stem", "groups": 4, "relu": True, "layers": ["dense"], "input": [3, 8, 8]},
    "pool": {"kernel": 3, "stride": 2, "padding": [0, 1]},
}
FIELDS = Fields(OBJECT, "here")


def test_fields_are_read() -> None:
    assert FIELDS.text("name") == "stem"
    assert FIELDS.whole("groups") == 4
    assert FIELDS.flag("relu") is True
    assert FIELDS.items("layers") == ["dense"]
    assert FIELDS.shape("input", 3) == (3, 8, 8)
    assert FIELDS.pool() == Window(3, 2, 0, 1)
    assert FIELDS.choice("name", ("stem", "stage")) == "stem"
    assert FIELDS.choice("other", ("stem", "stage")) is None
    assert describe_window(Window(3, 2, 0, 1)) == OBJECT["pool"]
    FIELDS.refuse_others(("name", "groups", "relu"), ("layers", "input", "pool"))


@pytest.mark.parametrize("wrong", ["x", 3.0, True, None, [], {}])
def test_a_field_of_another_type_is_refused_by_its_name(wrong: object) -> None:
    fields = Fields({"key": wrong, "pool": wrong}, "here")
    readers: list[tuple[Any, bool]] = [
        (lambda: fields.text("key"), wrong == "x"),
        (lambda: fields.whole("key"), False),
        (lambda: fields.flag("key"), wrong is True),
        (lambda: fields.items("key"), wrong == []),
        (lambda: fields.shape("key", 1), False),
        (lambda: fields.choice("key", ("y",)), False),
        (fields.pool, wrong is None),
    ]
    for read, fits in readers:
        if fits:
            read()
            continue
        with pytest.raises(InvalidManifest, match=r"plan: here: .*expected .*found"):
            read()


def test_a_key_too_many_is_named() -> None:
    with pytest.raises(InvalidManifest, match="here: expected the keys name, found 'groups'"):
        FIELDS.refuse_others(("name",))


@pytest.mark.parametrize("shape", [[0, 8, 8], [3, 8], [2**14, 2**14, 2**14], [3, "8", 8]])
def test_a_shape_out_of_bounds_is_refused(shape: list[Any]) -> None:
    with pytest.raises(InvalidManifest, match="expected 3 whole numbers from 1, at most"):
        check_shape(shape, 3, "input", "here")


def test_groups_divide_channels() -> None:
    check_groups(4, 32, "groups", "here")
    with pytest.raises(InvalidManifest, match="expected groups that divide 32 channels, found 5"):
        check_groups(5, 32, "groups", "here")


@pytest.mark.parametrize(
    ("window", "side", "expected"),
    [
        (Window(3, 2, 1, 1), 224, 112),
        (Window(3, 2, 0, 1), 224, 112),
        (Window(2, 2), 7, 3),
        (Window(MAX_WINDOW, MAX_WINDOW), MAX_WINDOW, 1),
    ],
)
def test_positions_of_a_window(window: Window, side: int, expected: int) -> None:
    assert slide(window, side, side, "here") == (expected, expected)


def prepare_stem(side: int = 1, channels: int = 1, kernel: int = 1, stride: int = 1) -> object:
    weight = np.zeros((channels, 3, kernel, kernel), np.float32)
    convolution = Convolution(weight, None, Window(kernel, stride))
    return library.prepare_stem(Stem(side, kernel, [convolution]))


def prepare_head(classes: int) -> object:
    one, zeros = np.ones(1, np.float32), np.zeros(classes, np.float32)
    return library.prepare_head(Head(one, one, zeros[:, np.newaxis], zeros, 1, 1))


def test_limits_are_those_of_the_kernel_library() -> None:
    """Each as it is passes, and one more is refused."""
    prepare_stem(MAX_SIDE)
    prepare_stem(1, MAX_CHANNELS)
    prepare_stem(MAX_WINDOW, 1, MAX_WINDOW, MAX_WINDOW)
    prepare_head(MAX_CLASSES)
    for prepare in (
        lambda: prepare_stem(MAX_SIDE + 1),
        lambda: prepare_stem(1, MAX_CHANNELS + 1),
        lambda: prepare_stem(40, 1, MAX_WINDOW + 1, 1),
        lambda: prepare_stem(40, 1, 1, MAX_WINDOW + 1),
        lambda: prepare_head(MAX_CLASSES + 1),
    ):
        with pytest.raises(ValueError, match="expected"):
            prepare()
