"""Whole networks: the bits of their parts, for any threads, callers and order; clear refusals."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.engines.prepare import prepare_parts
from runtime.kernels import library
from runtime.kernels.network import TOGETHER, Network, phase_names
from runtime.kernels.parts import Part
from tests.runtime.bundles import make_images, make_network

SIDES = (16, 32)  # on maps of 8 pixels mismatches are counted, those of 16 are bit-sliced


@pytest.fixture(scope="module", params=SIDES)
def parts(request: pytest.FixtureRequest) -> list[Part]:
    return prepare_parts(*make_network(pairs=(2, 1), image=request.param))


def images(parts: list[Part], count: int, seed: int = 1) -> np.ndarray:
    side = library.describe_part(parts[0]).input[1]
    return make_images(make_network(pairs=(2, 1), image=side)[0], count, seed)


def test_both_kernel_families_are_here(parts: list[Part]) -> None:
    if library.active() == "generic":
        pytest.skip("generic has no bit-sliced stages")
    side = library.describe_part(parts[0]).input[1]
    families = {layer["kernel"] for layer in library.report_part(parts[1])}
    assert families == ({"sliced"} if side == SIDES[1] else {"popcount"})


def run_parts(parts: list[Part], x: np.ndarray) -> np.ndarray:
    for part in parts:
        x = library.run_part(part, x)
    return x


def run(network: Network, x: np.ndarray, threads: int, room: int = 1) -> np.ndarray:
    out = np.empty((len(x), network.classes), np.float32)
    network.run(x, network.allocate_workspace(threads, room), out, threads)
    return out


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_equals_its_parts(parts: list[Part], count: int, threads: int) -> None:
    network = Network(parts, threads)
    x = images(parts, count)
    for _ in range(3):  # threads find their way again, awake or asleep
        assert run(network, x, threads).tobytes() == run_parts(parts, x).tobytes()


@settings(deadline=None, max_examples=20)
@given(
    name=st.sampled_from([item.name for item in library.implementations() if item.supported]),
    # 4x4, 5x5, 7x7, 10x10, 14x14 in the first stage, half of that in the second
    side=st.sampled_from([8, 10, 14, 20, 28]),
    padding=st.sampled_from([-1, 0, 1]),
    int8=st.booleans(),
    count=st.integers(1, TOGETHER + 2),
    room=st.integers(1, TOGETHER + 2),
    threads=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_images_together_give_the_bits_of_each_alone(
    name: str,
    side: int,
    padding: int,
    int8: bool,
    count: int,
    room: int,
    threads: int,
    seed: int,
) -> None:
    before = library.active()
    library.select(name)
    try:
        plan, tensors = make_network(
            seed, image=side, pairs=(2, 1), padding=padding, improvement=seed % 2 == 0, int8=int8
        )
        network = Network(prepare_parts(plan, tensors), threads)
    finally:
        library.select(before)
    x = make_images(plan, count, seed)
    alone = np.concatenate([run(network, x[i : i + 1], 1) for i in range(count)])
    assert run(network, x, threads, room).tobytes() == alone.tobytes()


@pytest.mark.parametrize("classes", [7, 1000])
def test_memory_for_more_images_is_bounded_and_may_be_less(classes: int) -> None:
    plan, tensors = make_network(pairs=(2, 1), image=56, classes=classes)
    network = Network(prepare_parts(plan, tensors), 2)
    sizes = [network.measure_workspace(2, n) for n in range(TOGETHER + 3)]
    assert sizes[0] == sizes[1] == network.measure_workspace(2)
    assert sizes == sorted(sizes)
    assert sizes[1] < sizes[TOGETHER] == sizes[-1] < TOGETHER * sizes[1]
    # Any amount between the sizes does, and what it held before changes nothing.
    x = make_images(plan, 9)
    expected = run(network, x, 1, TOGETHER).tobytes()
    for size in sizes[1:]:
        workspace = library.allocate(size + 64)
        workspace[:] = 0xA5
        out = np.empty((9, classes), np.float32)
        network.run(x, workspace, out, 2)
        assert out.tobytes() == expected
        assert (workspace[size:] == 0xA5).all() or size < sizes[TOGETHER]


def test_more_threads_than_the_pool_has_are_not_used(parts: list[Part]) -> None:
    network = Network(parts, 2)
    assert np.array_equal(run(network, images(parts, 1), 64), run_parts(parts, images(parts, 1)))


def test_many_callers_share_one_pool(parts: list[Part]) -> None:
    network = Network(parts, 2)
    inputs = [images(parts, 1 + seed % 3, seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as callers:
        outputs = list(callers.map(lambda x: run(network, x, 2), inputs))
    for x, out in zip(inputs, outputs, strict=True):
        assert np.array_equal(out, run_parts(parts, x))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # that is what is tested
def test_a_forked_child_computes_alone(parts: list[Part]) -> None:
    network = Network(parts, 2)
    expected = run(network, images(parts, 1), 2)
    child = os.fork()
    if child == 0:  # no pytest in here
        same = run(network, images(parts, 1), 2).tobytes() == expected.tobytes()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", [item.name for item in library.implementations()])
def test_every_implementation_gives_the_same_bits(name: str, side: int) -> None:
    if not {item.name: item.supported for item in library.implementations()}[name]:
        pytest.skip(f"implementation {name}: this CPU lacks its features")
    before = library.active()
    try:
        results = []
        for implementation in (name, "generic"):
            library.select(implementation)
            prepared = prepare_parts(*make_network(pairs=(2, 1), image=side))
            results.append(run(Network(prepared, 2), images(prepared, 2), 2))
    finally:
        library.select(before)
    assert results[0].tobytes() == results[1].tobytes()


def test_refuses_parts_that_do_not_follow_each_other(parts: list[Part]) -> None:
    network = Network([parts[0], parts[-1]])
    with pytest.raises(ValueError, match=r"part 1: expected the output .* of the part before"):
        network.allocate_workspace(1)
    with pytest.raises(ValueError, match=r"threads: expected 1\.\.256, found 1000"):
        Network(parts, 1000)
    spoilt = parts[0].copy()
    with pytest.raises(ValueError, match=r"aligned to 64 bytes|no part"):
        Network([spoilt[1:]])


def test_refuses_arrays_that_do_not_fit(parts: list[Part]) -> None:
    network = Network(parts)
    x, room = images(parts, 2), network.allocate_workspace(1)
    out = np.empty((2, network.classes), np.float32)
    for arguments, text in (
        ((x[:, :2], room, out, 1), "images: expected a contiguous"),
        ((x, room, out[:1], 1), "out: expected a contiguous"),
        ((x, room[:64], out, 1), "expected a workspace of"),
        ((x, room[1:], out, 1), "expected a workspace aligned to 64 bytes"),
        ((x, room, out, 0), r"threads: expected 1\.\."),
    ):
        with pytest.raises(ValueError, match=text):
            network.run(*arguments)
    assert np.array_equal(run(network, x, 1), run_parts(parts, x))


def test_profile_runs_the_network_and_adds_up(parts: list[Part]) -> None:
    network = Network(parts)
    workspace, x = network.allocate_workspace(1), images(parts, 1)
    out = np.full((1, network.classes), np.nan, np.float32)
    start = time.perf_counter_ns()
    nanoseconds = network.profile(x, workspace, out)
    took = time.perf_counter_ns() - start
    assert out.tobytes() == run_parts(parts, x).tobytes()
    assert nanoseconds.shape == (len(parts), len(phase_names()))
    assert (nanoseconds >= 0).all()
    assert (nanoseconds.sum(1) > 0).all()
    assert nanoseconds.sum() <= took


def test_profile_takes_one_image(parts: list[Part]) -> None:
    network = Network(parts)
    out = np.empty((1, network.classes), np.float32)
    with pytest.raises(ValueError, match="image: expected"):
        network.profile(images(parts, 2), network.allocate_workspace(1), out)


def test_profile_of_a_small_workspace_is_refused(parts: list[Part]) -> None:
    network = Network(parts)
    workspace = network.allocate_workspace(1)[:-64]
    out = np.empty((1, network.classes), np.float32)
    with pytest.raises(ValueError, match="bnn_network_profile: expected a workspace of"):
        network.profile(images(parts, 1), workspace, out)
