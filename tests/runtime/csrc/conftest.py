"""What the kernel tests share: one run per implementation, and random parts of networks."""

import platform
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from runtime.kernels import library
from runtime.kernels.parts import BinaryLayer, Convolution, Head, Stage, Stem, Transition, Window

NAMES = {
    "x86_64": ("avx512", "avx2", "generic"),
    "aarch64": ("neon_dot", "neon", "generic"),
}.get(platform.machine(), ("generic",))


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.isa) for name in NAMES])
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Makes each implementation of this architecture the active one; skips what the CPU lacks."""
    known = {entry.name: entry for entry in library.implementations()}
    name = str(request.param)
    if not known[name].supported:
        pytest.skip(f"implementation {name}: this CPU lacks {known[name].features}")
    yield library.select(name)
    library.select(None)


@pytest.fixture
def supported() -> Iterator[list[str]]:
    """Names of all implementations that this CPU runs; the active one is restored afterwards."""
    yield [entry.name for entry in library.implementations() if entry.supported]
    library.select(None)


def random_words(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Uniform words."""
    return rng.integers(0, 2**32, shape, dtype=np.uint32)


def random_floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normally distributed float32."""
    return rng.normal(size=shape).astype(np.float32)


def random_stage(
    rng: np.random.Generator,
    channels_in: int,
    height: int,
    width: int,
    padding: int = -1,
    kinds: str = "didi",
) -> Stage:
    """Dense (d) and improvement (i) layers; thresholds hit values exactly and are infinite."""
    layers = []
    channels = channels_in
    for kind in kinds:
        threshold = random_floats(rng, channels)
        produced = threshold[channels_in:] * np.float32(np.sqrt(9 * channels))
        # Half of them are integers, so that ties occur.
        ties = rng.random(produced.shape) < 0.5
        threshold[channels_in:] = np.where(ties, np.round(produced), produced)
        threshold[rng.integers(0, channels, 3)] = np.inf
        threshold[rng.integers(0, channels, 3)] = -np.inf
        layers.append(
            BinaryLayer(
                weight=random_words(rng, 64, 3, 3, channels // 32),
                threshold=threshold,
                flip=random_words(rng, channels // 32),
                is_improvement=kind == "i",
            )
        )
        channels += 64 * (kind == "d")
    return Stage(channels_in, height, width, padding, layers)


def random_convolution(
    rng: np.random.Generator,
    channels_in: int,
    channels_out: int,
    window: Window,
    groups: int = 1,
    relu: bool = False,
    bias: bool = True,
) -> Convolution:
    """A convolution whose outputs have about unit size."""
    taps = channels_in // groups * window.kernel**2
    shape = (channels_out, channels_in // groups, window.kernel, window.kernel)
    weight = random_floats(rng, *shape) / np.float32(np.sqrt(taps))
    return Convolution(
        weight, random_floats(rng, channels_out) if bias else None, window, groups, relu
    )


def random_stem(rng: np.random.Generator, height: int, width: int) -> Stem:
    """Three convolutions with all kinds of strides, groups and paddings, and a padded pool."""
    return Stem(
        height,
        width,
        [
            random_convolution(rng, 3, 16, Window(3, 2, 1, 1), relu=True),
            random_convolution(rng, 16, 20, Window(3, 1, 1, 1), groups=4),
            random_convolution(rng, 20, 24, Window(5, 2, 0, 3), groups=2, relu=True, bias=False),
        ],
        Window(3, 2, 1, 1),
    )


def random_transition(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    channels_out: int,
    groups: int = 1,
    shuffle_groups: int = 1,
    pool: Window | None = Window(2, 2),  # noqa: B008 (frozen)
) -> Transition:
    """scale takes both signs: batch norm and pool do not commute."""
    channels, height, width = shape
    return Transition(
        random_floats(rng, channels),
        random_floats(rng, channels),
        height,
        width,
        pool,
        shuffle_groups,
        random_convolution(rng, channels, channels_out, Window(1, 1), groups, bias=False),
    )


def random_head(rng: np.random.Generator, shape: tuple[int, int, int], classes: int) -> Head:
    """A head on maps of that shape."""
    channels, height, width = shape
    return Head(
        random_floats(rng, channels),
        random_floats(rng, channels),
        random_floats(rng, classes, channels) / np.float32(np.sqrt(channels)),
        random_floats(rng, classes),
        height,
        width,
    )


@pytest.fixture
def make() -> dict[str, Callable[..., object]]:
    """The builders above, by name: test modules cannot import this file."""
    return {
        "words": random_words,
        "floats": random_floats,
        "stage": random_stage,
        "convolution": random_convolution,
        "stem": random_stem,
        "transition": random_transition,
        "head": random_head,
    }
