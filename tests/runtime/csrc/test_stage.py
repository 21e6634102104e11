"""Whole stages: integers, so every implementation gives exactly what NumPy gives."""

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.kernels import bitpack, library
from runtime.kernels.network import Network
from runtime.kernels.parts import BinaryLayer, Stage


def reference(stage, x):
    return np.stack([bitpack.run_stage(stage, image) for image in x])


def run(stage, x):
    return library.run_part(library.prepare_stage(stage), x)


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize("shape", [(32, 1, 1), (64, 8, 8), (160, 5, 7), (96, 14, 3), (224, 2, 9)])
def test_stage_equals_reference(implementation, make, shape, padding):
    rng = np.random.default_rng([*shape, padding + 1])
    stage = make["stage"](rng, *shape, padding)
    x = make["floats"](rng, 2, *shape)
    assert np.array_equal(run(stage, x), reference(stage, x))


@pytest.mark.parametrize("kinds", ["d", "ddd", "dii", "ddidi"])
def test_any_order_of_layers(implementation, make, kinds):
    rng = np.random.default_rng(len(kinds))
    stage = make["stage"](rng, 64, 6, 5, 0, kinds)
    x = make["floats"](rng, 1, 64, 6, 5)
    y = run(stage, x)
    assert y.shape == (1, 64 + 64 * kinds.count("d"), 6, 5)
    assert np.array_equal(y, reference(stage, x))


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # every example selects anew
)
@given(
    words=st.integers(1, 5),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    padding=st.sampled_from([-1, 0, 1]),
    kinds=st.sampled_from(["d", "di", "did", "didi"]),
    seed=st.integers(0, 2**32),
)
def test_any_stage(supported, words, height, width, padding, kinds, seed):
    rng = np.random.default_rng(seed)
    layers, channels = [], 32 * words
    for kind in kinds:
        bounds = rng.choice([-1.5, -1.0, 0.0, 0.5, 2.0, 64.0, -np.inf, np.inf], channels)
        layers.append(
            BinaryLayer(
                rng.integers(0, 2**32, (64, 3, 3, channels // 32), dtype=np.uint32),
                bounds.astype(np.float32),
                rng.integers(0, 2**32, channels // 32, dtype=np.uint32),
                kind == "i",
            )
        )
        channels += 64 * (kind == "d")
    stage = Stage(32 * words, height, width, padding, layers)
    x = rng.integers(-2, 3, (1, 32 * words, height, width)).astype(np.float32)
    expected = reference(stage, x)
    for name in supported:
        library.select(name)
        assert np.array_equal(run(stage, x), expected), name


def one_sided(channels_in: int, thresholds: np.ndarray, flips: np.ndarray) -> Stage:
    """A dense layer that produces known values, and a second one that compares them."""
    words = channels_in // 32
    first = BinaryLayer(
        np.zeros((64, 3, 3, words), np.uint32),
        np.zeros(channels_in, np.float32),
        np.zeros(words, np.uint32),
        False,
    )
    weight = np.zeros((64, 3, 3, words + 2), np.uint32)
    for channel in range(64):  # output c sees produced channel c alone, at the centre tap
        weight[channel, 1, 1, words + channel // 32] = np.uint32(1) << np.uint32(channel % 32)
    second = BinaryLayer(
        weight,
        np.concatenate([np.full(channels_in, np.inf, np.float32), thresholds.astype(np.float32)]),
        np.concatenate([np.zeros(words, np.uint32), flips]),
        False,
    )
    return Stage(channels_in, 1, 1, -1, [first, second])


def produced_bits(stage: Stage, x: np.ndarray) -> np.ndarray:
    """The bits that the second layer of one_sided saw."""
    y = run(stage, x)[0, :, 0, 0]
    return y[-64:] > y[-64:].min() if np.ptp(y[-64:]) else y[-64:] > 9 * (stage.channels_in + 60)


@pytest.mark.parametrize("flipped", [False, True])
def test_thresholds_on_produced_values(implementation, flipped):
    """Ties, halves, the range's ends, beyond them, infinities: (x >= t) ^ flip on integers."""
    # 32 inputs, all -1 with weights -1: no mismatch inside, none in the border: x = K = 288.
    x = np.full((1, 32, 1, 1), -1.0, np.float32)
    bounds = [0, 287, 287.5, 288, 288.25, 289, 290, -288, -289, 1e9, -1e9, 1e-40, -1e-40]
    bounds += [np.inf, -np.inf, 3.4e38, -3.4e38]
    thresholds = np.resize(np.array(bounds, np.float32), 64)
    flips = np.full(2, 0xFFFFFFFF if flipped else 0, np.uint32)
    stage = one_sided(32, thresholds, flips)
    y = run(stage, x)
    assert (y[0, 32:96] == 288).all()
    assert np.array_equal(y, reference(stage, x))
    assert np.array_equal(produced_bits(stage, x), (thresholds <= 288) ^ flipped)


@pytest.mark.parametrize("value", [-288, 288])
def test_every_threshold_near_a_value(implementation, value):
    """All thresholds around both ends of the range, in steps of a half."""
    x = np.full((1, 32, 1, 1), -1.0, np.float32)
    for start in range(-4, 4):
        thresholds = value + start * 32 + np.arange(64) / 2
        stage = one_sided(32, thresholds, np.array([0x0F0F0F0F, 0x12345678], np.uint32))
        assert np.array_equal(run(stage, x), reference(stage, x))


@pytest.mark.parametrize("channels_in", [32, 1760, 3520])
def test_largest_sums(implementation, channels_in):
    """Dense and improvement counts add up to 9 c + 9 (c + 64), above 32,767 and close to 65,535."""
    layers = [
        BinaryLayer(
            np.zeros((64, 3, 3, channels // 32), np.uint32),
            np.full(channels, -np.inf, np.float32),
            np.zeros(channels // 32, np.uint32),
            is_improvement,
        )
        for channels, is_improvement in ((channels_in, False), (channels_in + 64, True))
    ]
    stage = Stage(channels_in, 2, 1, 1, layers)
    y = run(stage, np.zeros((1, channels_in, 2, 1), np.float32))
    assert (y[0, channels_in:] == -9 * (2 * channels_in + 64)).all()


def test_inputs_pass_through_untouched(implementation, make):
    rng = np.random.default_rng(5)
    x = make["floats"](rng, 1, 32, 3, 3)
    x[0, :4, 0, 0] = [np.nan, np.inf, -0.0, 1e-45]
    y = run(make["stage"](rng, 32, 3, 3), x)
    assert y[:, :32].tobytes() == x.tobytes()


def test_images_do_not_influence_each_other(implementation, make):
    rng = np.random.default_rng(6)
    stage = make["stage"](rng, 32, 5, 5)
    part = library.prepare_stage(stage)
    x = make["floats"](rng, 3, 32, 5, 5)
    together = library.run_part(part, x)
    for image in range(3):
        assert np.array_equal(library.run_part(part, x[image : image + 1])[0], together[image])


def test_no_images(implementation, make):
    stage = make["stage"](np.random.default_rng(7), 32, 5, 5)
    assert run(stage, np.empty((0, 32, 5, 5), np.float32)).shape == (0, 160, 5, 5)


def test_threads_share_a_part(implementation, make):
    """A prepared part is immutable; each thread has its own workspace."""
    rng = np.random.default_rng(8)
    stage = make["stage"](rng, 64, 9, 9)
    part = library.prepare_stage(stage)
    images = [make["floats"](rng, 1, 64, 9, 9) for _ in range(8)]
    before = part.tobytes()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda x: library.run_part(part, x), images * 4))
    for x, y in zip(images * 4, results, strict=True):
        assert np.array_equal(y, reference(stage, x))
    assert part.tobytes() == before


def test_part_stays_tied_to_its_implementation(supported, make):
    rng = np.random.default_rng(9)
    stage = make["stage"](rng, 64, 4, 4)
    x = make["floats"](rng, 1, 64, 4, 4)
    parts = {}
    for name in supported:
        library.select(name)
        parts[name] = library.prepare_stage(stage)
    library.select("generic")
    for name, part in parts.items():
        assert library.describe_part(part).implementation == name
        assert np.array_equal(library.run_part(part, x), reference(stage, x))


def test_part_has_no_addresses(implementation, make):
    """Preparing twice gives the same bytes; a copy elsewhere runs."""
    rng = np.random.default_rng(10)
    stage = make["stage"](rng, 32, 4, 4)
    part, again = library.prepare_stage(stage), library.prepare_stage(stage)
    assert part.tobytes() == again.tobytes()
    moved = library.allocate(part.size)
    moved[:] = part
    del part, again
    x = make["floats"](rng, 1, 32, 4, 4)
    assert np.array_equal(library.run_part(moved, x), reference(stage, x))


def test_report_names_a_kernel_for_each_layer(implementation, make):
    stage = make["stage"](np.random.default_rng(11), 64, 4, 4, -1, "did")
    report = library.report_part(library.prepare_stage(stage))
    assert [entry["layer"] for entry in report] == [
        "layer0 dense 64x4x4",
        "layer1 improvement 128x4x4",
        "layer2 dense 128x4x4",
    ]
    assert {entry["kernel"] for entry in report} == {"popcount"}


def test_report_needs_room(make):
    part = library.prepare_stage(make["stage"](np.random.default_rng(12), 32, 4, 4))
    text = ctypes.create_string_buffer(16)
    kernels = library.load_library()
    assert kernels.bnn_part_report(part.ctypes.data, part.size, text, len(text)) == 4
    assert "bytes, found 16" in kernels.bnn_error().decode()


def layer(channels: int, is_improvement: bool = False, threshold: float = 0.0) -> BinaryLayer:
    return BinaryLayer(
        np.zeros((64, 3, 3, channels // 32), np.uint32),
        np.full(channels, threshold, np.float32),
        np.zeros(channels // 32, np.uint32),
        is_improvement,
    )


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Stage(48, 4, 4, -1, [layer(32)]), "channels_in: expected a multiple of 32, found 48"),
        (Stage(-32, 4, 4, -1, [layer(32)]), "channels_in: expected 32"),
        (Stage(32, 0, 4, -1, [layer(32)]), "height: expected 1"),
        (Stage(32, 4, 2**31 - 1, -1, [layer(32)]), "width: expected 1"),
        (Stage(32, 4, 4, 3, [layer(32)]), "padding: expected -1..1, found 3"),
        (Stage(32, 4, 4, -1, []), "layer_count: expected 1"),
        (Stage(32, 4, 4, -1, [layer(64)]), "layer 0: expected 32 channels, found 64"),
        (Stage(32, 4, 4, -1, [layer(32), layer(32)]), "layer 1: expected 96 channels, found 32"),
        (Stage(32, 4, 4, -1, [layer(32, True)]), "improves channels that no dense layer produced"),
        (Stage(32, 4, 4, -1, [layer(32, threshold=np.nan)]), "found NaN at 0"),
        (Stage(7296, 1, 1, -1, [layer(7296)]), "expected counts up to 65535, found up to 65664"),
    ],
)
def test_refuses_descriptions(stage, message):
    with pytest.raises(ValueError, match="bnn_stage") as caught:
        library.prepare_stage(stage)
    assert message in str(caught.value)


@pytest.mark.parametrize(("channels_in", "kinds"), [(960, "didi" * 4), (64, "did")])
@pytest.mark.parametrize("threads", [1, 2])
def test_images_share_long_lists_and_planes(implementation, make, channels_in, kinds, threads):
    """Lists longer than the caches are read once for all images, short ones group by group."""
    rng = np.random.default_rng(5)
    stage = make["stage"](rng, channels_in, 14, 14, -1, kinds)
    channels = channels_in + 64 * kinds.count("d")
    parts = [
        library.prepare_stage(stage),
        library.prepare_transition(make["transition"](rng, (channels, 14, 14), 32)),
    ]
    x = make["floats"](rng, 3, channels_in, 14, 14)
    for several in (parts, parts[:1]):
        network = Network(several, threads)
        network.classes = np.prod(library.describe_part(several[-1]).output)
        alone, together = np.empty((2, 3, network.classes), np.float32)
        for i in range(3):
            network.run(x[i : i + 1], network.allocate_workspace(1), alone[i : i + 1], 1)
        network.run(x, network.allocate_workspace(threads, 3), together, threads)
        assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize("size", [10, 20, 28])
def test_maps_one_below_the_other_have_the_bits_of_each(implementation, make, size):
    """Groups of images in several vectors, and what is left over, through a stage and its pool."""
    rng = np.random.default_rng(6)
    parts = [
        library.prepare_stage(make["stage"](rng, 32, size, size, -1, "did")),
        library.prepare_transition(make["transition"](rng, (160, size, size), 32)),
    ]
    x = make["floats"](rng, 8, 32, size, size)
    for several in (parts, parts[:1]):
        network = Network(several, 1)
        network.classes = np.prod(library.describe_part(several[-1]).output)
        alone = np.empty((8, network.classes), np.float32)
        for i in range(8):
            network.run(x[i : i + 1], network.allocate_workspace(1), alone[i : i + 1], 1)
        for count in (2, 3, 5, 8):
            together = np.empty((count, network.classes), np.float32)
            network.run(x[:count], network.allocate_workspace(1, count), together, 1)
            assert together.tobytes() == alone[:count].tobytes()
