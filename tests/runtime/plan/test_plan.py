"""runtime.plan.plan: plans that hang together are read and written back, others are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import ENGINES, load_engine
from runtime.errors import InvalidManifest
from runtime.kernels import library
from runtime.kernels.parts import Convolution, Stem, Window
from runtime.plan import Plan, check_network, parse_plan
from tests.runtime.bundles import Tensors, make_bundle, make_network
from tests.runtime.manifests import as_format_1, edit, make_plan
from tests.runtime.plan.networks import networks

VARIANTS: list[dict[str, Any]] = [
    {},
    {"stem": "grouped", "image": 32, "padding": 0},
    {"stem": "thumbnail", "image": 8, "padding": 1, "improvement": False},
    {"pairs": (2,), "transitions": ()},
    {"transitions": (160,), "groups": 4, "shuffle": 16, "classes": 130},
    {"int8": True},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_plans_of_networks_pass(options: dict[str, Any]) -> None:
    plan, tensors = make_network(**options)
    check_network(plan, plan.input, plan.output[0])
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    assert plan.tensors() == found


def test_json_is_written_back_as_it_was_read() -> None:
    """With the order of its keys, and an arithmetic only where one was named."""
    content = make_plan()
    content[2]["arithmetic"] = "float32"
    assert json.dumps(parse_plan(content).as_json()) == json.dumps(content)


@given(networks())
def test_a_plan_is_its_json(network: tuple[Plan, Tensors]) -> None:
    plan, _ = network
    assert parse_plan(json.loads(json.dumps(plan.as_json()))) == plan


def test_plan_from_or_to_elsewhere_is_refused() -> None:
    plan = parse_plan(make_plan())
    for image, classes in (((3, 8, 9), 2), ((3, 8, 8), 3)):
        with pytest.raises(
            InvalidManifest, match=r"as input and labels say, found one from \[3, 8, 8\] to \[2\]"
        ):
            check_network(plan, image, classes)


def test_neighbouring_steps_are_a_plan_too() -> None:
    plan = parse_plan(make_plan())
    assert parse_plan(make_plan()[1:3]) == plan[1:3]
    assert (plan[1:3].input, plan[1:3].output) == ((32, 8, 8), (64, 4, 4))
    assert not plan[:0]


def test_steps_that_do_not_follow_each_other_are_no_plan() -> None:
    stem, stage, *_ = parse_plan(make_plan())
    with pytest.raises(InvalidManifest, match=r"stem expects \[3, 8, 8\], but .* \[96, 8, 8\]"):
        Plan((stage, stem))
    with pytest.raises(InvalidManifest, match="found stem twice"):
        Plan((stem, replace(stage, name="stem")))


Json = list[dict[str, Any]]


def set_field(number: int, key: str, value: object) -> Callable[[Json], None]:
    def change(plan: Json) -> None:
        plan[number][key] = value

    return change


def drop_field(number: int, key: str) -> Callable[[Json], None]:
    def change(plan: Json) -> None:
        del plan[number][key]

    return change


def set_convolution(number: int, key: str, value: object) -> Callable[[Json], None]:
    def change(plan: Json) -> None:
        plan[STEM]["convolutions"][number][key] = value

    return change


STEM, STAGE, TRANSITION, HEAD = 0, 1, 2, 4
WRONG_PLANS: list[tuple[str, Callable[[Json], None], str]] = [
    ("no name", drop_field(STEM, "name"), "step 0: expected a name as `name`, found none"),
    ("odd name", set_field(STEM, "name", "../x"), "expected a name as `name`, found '../x'"),
    ("twice", set_field(3, "name", "stage1"), "found stage1 twice"),
    (
        "part",
        set_field(STEM, "part", "trunk"),
        "expected a `part` of stem, stage, .*found 'trunk'",
    ),
    ("no input", drop_field(STAGE, "input"), "stage1: expected a list as `input`, found none"),
    ("flat", set_field(STAGE, "input", [64, 8]), "expected 3 whole numbers"),
    ("text", set_field(STAGE, "input", ["64", 8, 8]), "expected 3 whole numbers"),
    ("huge", set_field(STAGE, "input", [64, 2**20, 2**20]), "at most"),
    ("truth", set_field(HEAD, "output", [True]), "expected 1 whole numbers"),
    ("gap", set_field(STAGE, "input", [64, 9, 8]), "stage1 expects .* the step before yields"),
    ("growth", set_field(STAGE, "growth", 32), "expected growth 64, found 32"),
    ("layer", set_field(STAGE, "layers", ["dense", "better"]), "as layer 1, found 'better'"),
    ("layers", set_field(STAGE, "layers", "dense"), "expected a list as `layers`, found 'dense'"),
    (
        "no padding",
        drop_field(STAGE, "padding"),
        "expected a whole number as `padding`, found none",
    ),
    ("padding", set_field(STAGE, "padding", -2), "expected -1, 0 or 1 as `padding`, found -2"),
    ("groups", set_field(TRANSITION, "groups", 3), "expected groups that divide 128 channels"),
    (
        "no group",
        set_field(TRANSITION, "groups", 0),
        "expected a whole number from 1 to 65536 as `groups`, found 0",
    ),
    ("no pool", drop_field(TRANSITION, "pool"), "expected a window or null as `pool`, found none"),
    ("pool", set_field(TRANSITION, "pool", 2), "pool: expected a list as `padding`"),
    (
        "output",
        set_field(TRANSITION, "pool", {"kernel": 1, "stride": 1, "padding": [0, 0]}),
        r"says \[128, 8, 8\] -> \[96, 4, 4\], but its fields make it \[128, 8, 8\] -> \[96, 8, 8\]",
    ),
    (
        "pool padding",
        set_field(TRANSITION, "pool", {"kernel": 2, "stride": 2, "padding": [0]}),
        r"expected \[before, after\]",
    ),
    ("arithmetic", set_field(HEAD, "arithmetic", "int4"), "head: .* as `arithmetic`, found 'int4'"),
    (
        "list",
        set_field(TRANSITION, "arithmetic", ["int8"]),
        r"float32 or int8 as `arithm.*\['int8'\]",
    ),
    ("shuffle", set_field(TRANSITION, "shuffle_groups", 3), "shuffle_groups that divide 128"),
    ("stage padding", set_field(STAGE, "padding", 2), "expected -1, 0 or 1 as `padding`, found 2"),
    ("no dense", set_field(STAGE, "layers", ["improvement"]), "a dense layer first"),
    ("no layers", set_field(STAGE, "layers", []), "from 1 to 1024 as `layers`, found 0"),
    ("no convolutions", set_field(STEM, "convolutions", []), "from 1 to 8 as `convolutions`"),
    (
        "half words",
        set_field(STAGE, "input", [48, 8, 8]),
        "channels in whole words of 32, found 48",
    ),
    (
        "stem padding",
        set_convolution(1, "padding", [0, 0]),
        r"says \[3, 16, 16\] -> \[64, 8, 8\], but its .* \[64, 7, 7\]",
    ),
    ("wide padding", set_convolution(0, "padding", [3, 3]), "a padding below the kernel"),
    ("wide kernel", set_convolution(1, "kernel", 20), "a kernel that fits the padded map"),
    ("chain", set_convolution(1, "channels_in", 64), "expected 32 as `channels_in`, found 64"),
    ("outputs", set_convolution(0, "channels_out", 64), "expected 64 as `channels_in`, found 32"),
    ("split", set_convolution(1, "groups", 5), "expected groups that divide 32 channels"),
    ("relu", set_convolution(0, "relu", 1), "expected true or false as `relu`, found 1"),
    ("sign", set_convolution(0, "arithmetic", "int8"), "expected float32, as its input has a sign"),
    ("key", set_field(HEAD, "temperbture", 2), "head: expected the keys .*, found 'temperbture'"),
    ("stem key", set_field(STEM, "arithmetic", "float32"), "stem: .*, found 'arithmetic'"),
    ("conv key", set_convolution(0, "dilation", 2), "convolution 0: .*, found 'dilation'"),
    ("convolution", set_field(STEM, "convolutions", [3]), "convolution 0: expected a whole number"),
]


@pytest.mark.parametrize(
    ("change", "text"), [case[1:] for case in WRONG_PLANS], ids=[c[0] for c in WRONG_PLANS]
)
def test_wrong_plan_says_expected_and_found(change: Callable[[Json], None], text: str) -> None:
    plan = make_network()[0].as_json()
    change(plan)
    with pytest.raises(InvalidManifest, match=rf"(?s)plan: .*{text}.*Export the bundle again"):
        parse_plan(plan)


@pytest.mark.parametrize("content", [None, 3, "stem", {}, {"stem": {}}, [3], [[]], [None]])
def test_what_is_no_list_of_objects_is_refused(content: object) -> None:
    with pytest.raises(InvalidManifest, match="plan: expected a list of objects, found"):
        parse_plan(content)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.sampled_from([0, 1, 2, 3, 31, 32, 64, 2**14 + 1, 2**31, 10**400])
    | st.floats(allow_nan=False)
    | st.sampled_from(["stem", "stage", "transition", "head", "dense", "int8", "float32", "pool"])
    | st.text(max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


def find_places(content: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value in a JSON document."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    places = []
    for key, value in items:
        places.append((content, key))
        places += find_places(value) if isinstance(value, dict | list) else []
    return places


@settings(max_examples=400)
@given(st.sampled_from([make_network(**options)[0] for options in VARIANTS]), st.data())
def test_whatever_is_changed_it_is_another_plan_or_refused(plan: Plan, data: st.DataObject) -> None:
    """A value is replaced, moved in from elsewhere, left out or added."""
    content = plan.as_json()
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(find_places(content)))
        change = data.draw(st.sampled_from(["replace", "copy", "drop", "add"]))
        if change == "drop":
            del container[key]
        elif change == "add" and isinstance(container, dict):
            container[data.draw(st.text() | st.just("arithmetic"))] = data.draw(values)
        elif change == "add":
            container.insert(key, data.draw(values))
        elif change == "copy":
            other, index = data.draw(st.sampled_from(find_places(plan.as_json())))
            container[key] = other[index]
        else:
            container[key] = data.draw(values)
        if not find_places(content):
            break
    try:
        found = parse_plan(content)
    except InvalidManifest:
        return
    assert json.dumps(found.as_json(), sort_keys=True) == json.dumps(content, sort_keys=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_refuses_an_output_that_does_not_follow(engine: str, tmp_path: Path) -> None:
    """Also the one that does not read the plan, and where no digest covers it."""
    bundle = make_bundle(tmp_path / "bundle")
    edit(bundle, as_format_1)
    load_engine(bundle.path, engine)
    edit(bundle, lambda m: set_convolution(1, "padding", [0, 0])(m["plan"]))
    with pytest.raises(InvalidManifest, match="but its fields make it"):
        load_engine(bundle.path, engine)


windows = st.tuples(*(st.integers(*range_) for range_ in ((1, 4), (1, 3), (0, 3), (0, 3))))


@given(first=windows, second=windows, pool=st.none() | windows, side=st.integers(1, 9))
def test_shapes_are_those_of_the_kernel_library(
    first: tuple[int, ...], second: tuple[int, ...], pool: tuple[int, ...] | None, side: int
) -> None:
    """What it refuses is refused here too, and the other way round."""

    def describe(window: tuple[int, ...]) -> dict[str, Any]:
        return {"kernel": window[0], "stride": window[1], "padding": list(window[2:])}

    convolutions, fields = [], []
    for window, channels_in in ((first, 3), (second, 4)):
        weight = np.zeros((4, channels_in, window[0], window[0]), np.float32)
        convolutions.append(Convolution(weight, np.zeros(4, np.float32), Window(*window)))
        fields.append(
            {"channels_in": channels_in, "channels_out": 4, "groups": 1, "relu": False}
            | describe(window)
        )
    step = {
        "name": "stem",
        "part": "stem",
        "input": [3, side, side],
        "convolutions": fields,
        "pool": None if pool is None else describe(pool),
    }
    try:
        part = library.prepare_stem(
            Stem(side, side, convolutions, None if pool is None else Window(*pool))
        )
    except ValueError:
        with pytest.raises(InvalidManifest):
            parse_plan([{**step, "output": [4, 1, 1]}])
        return
    parse_plan([{**step, "output": list(library.describe_part(part).output)}])
