"""The measuring calls of the kernel library: what they return and refuse; no time is judged."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from runtime.errors import ImplementationUnavailable
from runtime.kernels import library, measuring
from runtime.kernels.measuring import BINARY_MAC, FLOAT_MAC, FULL_ADDER, INT8_MAC, Limit

SUPPORTED = [item.name for item in library.implementations() if item.supported]
SLICED = {"avx512", "avx2", "neon_dot", "neon"}


@pytest.fixture(params=SUPPORTED)
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    yield library.select(str(request.param))
    library.select(None)


def random_weight(rng: np.random.Generator, channels: int) -> np.ndarray:
    return rng.integers(0, 2**32, (64, 3, 3, channels // 32), dtype=np.uint32)


def test_each_implementation_has_a_loop_for_each_operation(implementation: str) -> None:
    limits = measuring.limits()
    operations = {FLOAT_MAC, INT8_MAC, BINARY_MAC, FULL_ADDER}
    assert {limit.operation for limit in limits} == operations
    assert all(limit.operations > 0 for limit in limits)
    assert len({limit.name for limit in limits}) == len(limits)
    assert isinstance(limits[0], Limit)


def test_each_loop_runs_as_often_as_asked(implementation: str) -> None:
    for index in range(len(measuring.limits())):
        nanoseconds = measuring.measure_limit(index, rounds=10, runs=3)
        assert nanoseconds.shape == (3,)
        assert (nanoseconds >= 0).all()


@pytest.mark.parametrize(
    ("index", "rounds", "runs", "message"),
    [
        (-1, 1, 1, r"index: expected 0\.\."),
        (99, 1, 1, r"index: expected 0\.\."),
        (0, 0, 1, "rounds: expected 1.*found 0"),
        (0, 1, 0, "runs: expected 1.*found 0"),
    ],
)
def test_impossible_loop_is_refused(index: int, rounds: int, runs: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measuring.measure_limit(index, rounds, runs)


@pytest.mark.parametrize(("channels", "height", "width"), [(32, 1, 1), (96, 14, 14), (160, 28, 28)])
def test_layer_is_timed_in_each_family(
    implementation: str, rng: np.random.Generator, channels: int, height: int, width: int
) -> None:
    families = ["popcount", "sliced"] if implementation in SLICED else ["popcount"]
    weight = random_weight(rng, channels)
    timings = measuring.measure_layer(weight, height, width, families, runs=4)
    assert list(timings) == families
    for name, timing in timings.items():
        assert timing.counting.shape == timing.complete.shape == (4,)
        assert (timing.counting > 0).all()
        assert (timing.complete > 0).all()
        assert (timing.full_adders > 0) == (name == "sliced")


@pytest.mark.skipif(not SLICED & set(SUPPORTED), reason="no bit-sliced implementation here")
def test_adders_grow_with_the_vectors_of_the_map(rng: np.random.Generator) -> None:
    weight = random_weight(rng, 64)
    adders = [
        measuring.measure_layer(weight, side, side, ["sliced"], 1)["sliced"].full_adders
        for side in (28, 56)
    ]
    assert 2 * adders[1] == 7 * adders[0]  # 3.5 vectors for each, rounded up to whole ones


def test_implementation_without_a_family_says_so(rng: np.random.Generator) -> None:
    library.select("generic")
    try:
        with pytest.raises(ImplementationUnavailable, match="no sliced kernel of 'generic' takes"):
            measuring.measure_layer(random_weight(rng, 32), 4, 4, ["popcount", "sliced"], 1)
    finally:
        library.select(None)


@pytest.mark.skipif(not SLICED & set(SUPPORTED), reason="no bit-sliced implementation here")
def test_map_that_the_sliced_family_does_not_take_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ImplementationUnavailable, match="32 channels on a map of 4x65"):
        measuring.measure_layer(random_weight(rng, 32), 4, 65, ["sliced"], 1)


@pytest.mark.parametrize(
    ("families", "height", "runs", "message"),
    [
        (["xor"], 4, 1, "expected popcount or sliced, found 'xor'"),
        ([], 4, 1, "timing_count: expected 1"),
        (["popcount"], 0, 1, "height: expected 1"),
        (["popcount"], 4, 0, "runs: expected 1"),
    ],
)
def test_impossible_layer_is_refused(
    rng: np.random.Generator, families: list[str], height: int, runs: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measuring.measure_layer(random_weight(rng, 32), height, 4, families, runs)


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="weight: expected a contiguous uint32 array"):
        measuring.measure_layer(np.zeros((64, 3, 3), np.uint32), 4, 4, ["popcount"], 1)


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from runtime.kernels import library, measuring
kept = []

def guarded(size):
    page = mmap.PAGESIZE
    pages = -(-size // page) * page
    memory = mmap.mmap(-1, page + pages + page)
    kept.append(memory)
    array = np.frombuffer(memory, np.uint8)
    for offset in (0, page + pages):
        address = ctypes.c_void_p(array.ctypes.data + offset)
        assert ctypes.CDLL(None).mprotect(address, ctypes.c_size_t(page), 0) == 0
    start = page if sys.argv[1] == "front" else page + pages - size
    return array[start : start + size]

measuring.allocate = guarded
for item in library.implementations():
    if not item.supported:
        continue
    library.select(item.name)
    for channels, height, width in ((32, 1, 1), (96, 5, 7), (160, 28, 28), (288, 14, 14)):
        weight = np.full((64, 3, 3, channels // 32), 0x5bd1e995, np.uint32)
        for family in ("popcount", "sliced"):
            if family == "popcount" or item.name in ("avx512", "avx2"):
                measuring.measure_layer(weight, height, width, [family], 2)
print("held")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize("edge", ["front", "back"])
def test_nothing_is_touched_beside_the_workspace(edge: str) -> None:
    command = [sys.executable, "-c", GUARDED, edge]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout.strip()) == (0, "held"), answer.stderr
