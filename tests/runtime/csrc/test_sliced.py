"""The bit-sliced family: exactly the popcount family, whatever the shape, padding or weights."""

import platform

import numpy as np
import pytest

from runtime.errors import ImplementationUnavailable
from runtime.kernels import bitpack, library
from runtime.kernels.parts import BinaryLayer, Stage

# Implementations that have it.
FAMILIES = {
    "x86_64": ("avx512", "avx2"),
    "aarch64": ("neon_dot", "neon"),
}.get(platform.machine(), ())
SUM_PLANES = 14  # of the kernels: counts of a layer stay below 2 ** 15


@pytest.fixture(autouse=True, params=[pytest.param(n, marks=pytest.mark.isa) for n in FAMILIES])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Makes each implementation that has this family the active one."""
    known = {entry.name: entry for entry in library.implementations()}
    name = str(request.param)
    if name not in known or not known[name].supported:
        pytest.skip(f"implementation {name}: this CPU lacks its features, or is of another kind")
    monkeypatch.delenv("BNN_FORCE_KERNEL", raising=False)
    yield library.select(name)
    library.select(None)


def prepare(monkeypatch: pytest.MonkeyPatch, stage: Stage, family: str):
    monkeypatch.setenv("BNN_FORCE_KERNEL", family)
    part = library.prepare_stage(stage)
    monkeypatch.delenv("BNN_FORCE_KERNEL")
    return part


def kernels(part) -> set[str]:
    return {entry["kernel"] for entry in library.report_part(part)}


def run(monkeypatch: pytest.MonkeyPatch, stage: Stage, x: np.ndarray, family: str) -> np.ndarray:
    part = prepare(monkeypatch, stage, family)
    assert kernels(part) == {family}
    return library.run_part(part, x)


def assert_same(monkeypatch: pytest.MonkeyPatch, stage: Stage, x: np.ndarray) -> None:
    sliced = run(monkeypatch, stage, x, "sliced")
    assert np.array_equal(sliced, run(monkeypatch, stage, x, "popcount"), equal_nan=True)


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize("channels", [32, 64, 96, 160, 288, 480])
def test_all_small_maps(monkeypatch, make, channels, padding):
    rng = np.random.default_rng([channels, padding + 1])
    for size in range(1, 10):
        for height, width in {(size, size), (size, 10 - size)}:
            stage = make["stage"](rng, channels, height, width, padding, "di")
            x = make["floats"](rng, 1, channels, height, width)
            assert_same(monkeypatch, stage, x)


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize("size", [10, 14, 16, 20, 28, 32, 40, 56])
@pytest.mark.parametrize("channels", [32, 96, 224, 480])
def test_maps_of_the_networks(monkeypatch, make, channels, size, padding):
    rng = np.random.default_rng([channels, size, padding + 1])
    stage = make["stage"](rng, channels, size, size, padding, "di")
    assert_same(monkeypatch, stage, make["floats"](rng, 2, channels, size, size))


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize(
    "shape", [(64, 64), (128, 64), (1, 64), (64, 1), (33, 5), (50, 33), (13, 17), (97, 31), (9, 16)]
)
def test_odd_maps(monkeypatch, make, shape, padding):
    """Rows that fill their bits, vectors with a row less than others, single rows and columns."""
    rng = np.random.default_rng([*shape, padding + 1])
    stage = make["stage"](rng, 64, *shape, padding, "did")
    assert_same(monkeypatch, stage, make["floats"](rng, 1, 64, *shape))


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize("width", range(9, 64))
def test_rows_that_lie_close(monkeypatch, make, width, padding):
    """Rows of any length, across the words of vectors, with and without lanes to spare."""
    rng = np.random.default_rng([width, padding + 1])
    for height in {512 // width, 512 // (width + width % 2), int(rng.integers(1, 60))}:
        stage = make["stage"](rng, 32, height, width, padding, "di")
        assert_same(monkeypatch, stage, make["floats"](rng, 1, 32, height, width))


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize("shape", [(64, 5, 7), (32, 9, 20), (96, 4, 40)])
def test_equals_the_reference(monkeypatch, make, shape, padding):
    rng = np.random.default_rng([*shape, padding + 1])
    stage = make["stage"](rng, *shape, padding, "diddi")
    x = make["floats"](rng, 1, *shape)
    expected = bitpack.run_stage(stage, x[0])
    assert np.array_equal(run(monkeypatch, stage, x, "sliced")[0], expected)


@pytest.mark.parametrize("kinds", ["d", "ddd", "dii", "diii", "ddidi", "didididididididi"])
def test_any_order_of_layers(monkeypatch, make, kinds):
    """Up to 15 layers read a channel; an improvement may follow an improvement."""
    rng = np.random.default_rng(len(kinds))
    stage = make["stage"](rng, 32, 7, 18, 0, kinds)
    assert_same(monkeypatch, stage, make["floats"](rng, 1, 32, 7, 18))


def straining(kind: str, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Weights that are hard to spread over classes of equal size."""
    chance = rng.random((64, 3, 3, channels))
    bits = chance < 0.5
    if kind == "zeros":
        bits[:] = False
    elif kind == "ones":
        bits[:] = True
    elif kind == "equal outputs":
        bits[:] = bits[0]
    elif kind == "opposite outputs":
        bits[:] = bits[0]
        bits[1::2] = ~bits[0]
    elif kind == "pairs of outputs":
        bits[1::2] = bits[::2]
    elif kind == "one output varies":
        bits[1:] = False
    elif kind == "constant outputs":
        bits[::3], bits[1::3] = True, False
    elif kind == "one bit":
        bits[:] = False
        bits[:, 1, 1, 7] = True
    elif kind == "one output has an element":
        owner = rng.integers(0, 64, (1, 3, 3, channels))
        bits[:] = np.arange(64).reshape(64, 1, 1, 1) == owner
    elif kind == "skewed outputs":
        bits = chance < rng.random((64, 1, 1, 1))
    elif kind == "skewed elements":
        bits = chance < rng.random((1, 3, 3, channels))
    return bitpack.pack_bits(bits)


@pytest.mark.parametrize("channels", [32, 96, 192, 480, 960])
@pytest.mark.parametrize(
    "kind",
    [
        "zeros", "ones", "equal outputs", "opposite outputs", "pairs of outputs",
        "one output varies", "constant outputs", "one bit", "one output has an element",
        "skewed outputs", "skewed elements",
    ],
)  # fmt: skip
def test_weights_that_strain_the_classes(monkeypatch, make, kind, channels):
    rng = np.random.default_rng([len(kind), channels])
    layers = [
        BinaryLayer(
            straining(kind, width, rng),
            np.zeros(width, np.float32),
            make["words"](rng, width // 32),
            is_improvement,
        )
        for width, is_improvement in ((channels, False), (channels + 64, True))
    ]
    for padding in (-1, 0, 1):
        stage = Stage(channels, 5, 6, padding, layers)
        x = make["floats"](rng, 3, channels, 5, 6)
        x[1], x[2] = -1.0, 1.0
        assert_same(monkeypatch, stage, x)


def test_odd_values_and_thresholds(monkeypatch, make):
    """NaN compares false, the flip turns it; ties and infinities."""
    rng = np.random.default_rng(1)
    odd = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.0, 3.4e38], np.float32)
    stage = make["stage"](rng, 64, 11, 23, -1, "di")
    for layer in stage.layers:
        layer.threshold[:64:2] = rng.choice(odd[~np.isnan(odd)], 32)
    x = rng.choice(odd, (2, 64, 11, 23))
    assert_same(monkeypatch, stage, x)


def uniform_layer(channels: int, threshold: float, is_improvement: bool = False) -> BinaryLayer:
    """All weights are -1."""
    return BinaryLayer(
        np.zeros((64, 3, 3, channels // 32), np.uint32),
        np.full(channels, threshold, np.float32),
        np.zeros(channels // 32, np.uint32),
        is_improvement,
    )


@pytest.mark.parametrize("bound", [-np.inf, np.inf])
def test_largest_and_smallest_counts(monkeypatch, bound):
    """The widest layers the family takes; all bits differ from the weights, or none does."""
    channels = (2 ** (SUM_PLANES + 1) - 1) // 9 // 32 * 32
    layers = [uniform_layer(channels - 64, bound), uniform_layer(channels, bound, True)]
    stage = Stage(channels - 64, 2, 3, 1 if bound < 0 else -1, layers)
    x = np.zeros((1, channels - 64, 2, 3), np.float32)
    y = run(monkeypatch, stage, x, "sliced")
    assert np.array_equal(
        np.abs(y[0, channels - 64 :]), np.full((64, 2, 3), 9 * (2 * channels - 64))
    )
    assert_same(monkeypatch, stage, x)


@pytest.mark.parametrize(
    ("channels", "height", "width", "expected"),
    [
        (64, 56, 56, "sliced"),
        (160, 28, 28, "sliced"),
        (64, 32, 32, "sliced"),
        (224, 14, 14, "sliced"),
        (64, 16, 16, "sliced"),
        (64, 40, 40, "sliced"),
        (64, 20, 20, "sliced"),
        (160, 9, 9, "popcount"),
        (256, 7, 7, "popcount"),
    ],
)
def test_the_shape_decides(make, channels, height, width, expected):
    stage = make["stage"](np.random.default_rng(2), channels, height, width)
    assert kernels(library.prepare_stage(stage)) == {expected}


def test_long_lists_decide(make):
    rng = np.random.default_rng(3)
    layer = uniform_layer(96, 0.0)
    layer.weight[:16] = rng.integers(0, 2**32, layer.weight[:16].shape, dtype=np.uint32)
    assert kernels(library.prepare_stage(Stage(96, 56, 56, -1, [layer]))) == {"sliced"}
    layer.weight[1::4] = rng.integers(0, 2**32, layer.weight[1::4].shape, dtype=np.uint32)
    assert kernels(library.prepare_stage(Stage(96, 56, 56, -1, [layer]))) == {"popcount"}


@pytest.mark.parametrize(("channels", "width"), [(32, 65), (3648, 4)])
def test_force_cannot_do_the_impossible(monkeypatch, make, channels, width):
    """Rows beyond 64 positions and layers with more counts than planes: popcount."""
    stage = make["stage"](np.random.default_rng(4), channels, 2, width, -1, "d")
    assert kernels(prepare(monkeypatch, stage, "sliced")) == {"popcount"}


def test_other_implementations_have_no_such_family(monkeypatch, make):
    stage = make["stage"](np.random.default_rng(5), 32, 28, 28, -1, "d")
    library.select("generic")
    assert kernels(prepare(monkeypatch, stage, "sliced")) == {"popcount"}


def test_refuses_an_unknown_family(monkeypatch, make):
    stage = make["stage"](np.random.default_rng(6), 32, 4, 4, -1, "d")
    with pytest.raises(ImplementationUnavailable, match="popcount or sliced, found 'winograd'"):
        prepare(monkeypatch, stage, "winograd")


def test_a_part_has_no_addresses(monkeypatch, make):
    """Preparing twice gives the same bytes; a copy elsewhere runs; running changes nothing."""
    rng = np.random.default_rng(7)
    stage = make["stage"](rng, 32, 9, 9)
    part, again = (prepare(monkeypatch, stage, "sliced") for _ in range(2))
    assert part.tobytes() == again.tobytes()
    moved = library.allocate(part.size)
    moved[:] = part
    x = make["floats"](rng, 2, 32, 9, 9)
    expected = run(monkeypatch, stage, x, "popcount")
    del part
    assert np.array_equal(library.run_part(moved, x), expected)
    assert moved.tobytes() == again.tobytes()


def test_damaged_records_are_refused(monkeypatch, make):
    """One byte of a bit-sliced stage's record or lists at a time: refused, or harmless to read."""
    stage = make["stage"](np.random.default_rng(0), 64, 28, 28, -1, "di")
    part = prepare(monkeypatch, stage, "sliced")
    layers = int.from_bytes(part[112:120].tobytes(), "little")
    lists = int.from_bytes(part[layers + 48 : layers + 56].tobytes(), "little")
    refused = 0
    for position in (*range(80, 200), *range(layers, layers + 72), *range(lists, lists + 64)):
        damaged = library.allocate(part.size)
        damaged[:] = part
        damaged[position] ^= 0xFF
        try:
            library.describe_part(damaged)
        except ValueError:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize("family", ["popcount", "sliced"])
def test_impossible_orders_of_layers_are_refused(monkeypatch, make, family):
    """Values that are possible by themselves, but not with the other layers."""
    stage = make["stage"](np.random.default_rng(0), 64, 28, 28, -1, "diid")
    part = prepare(monkeypatch, stage, family)
    fields = part.view(np.int32)
    layers = int(part[112:120].view(np.int64)[0]) // 4
    record = 72 // 4  # numbers of a layer's record
    assert [int(fields[layers + k * record + 3]) for k in range(4)] == [0, 1, 1, 0]
    changes = [
        (96 // 4, 3),  # layers of the stage
        (100 // 4, 1),  # blocks of the stage
        (layers + record + 3, 0),  # an improvement becomes a dense layer
        (layers + 3 * record + 3, 1),  # and the other way round
        (layers + 3 * record + 2, 0),  # the last writes the first block
        (layers + 3, 1),  # the first improves
    ]
    if family == "sliced":
        changes += [(108 // 4, planes) for planes in (10, 11, 13, 14, 16)]
    for index, value in changes:
        damaged = library.allocate(part.size)
        damaged[:] = part
        assert damaged.view(np.int32)[index] != value
        damaged.view(np.int32)[index] = value
        with pytest.raises(ValueError, match="found an impossible"):
            library.describe_part(damaged)
