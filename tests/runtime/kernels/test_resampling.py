"""runtime.kernels.resampling: Pillow's pixels by every implementation; and when it declines."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runtime.errors import NativeUnavailable
from runtime.image_files.exif import TRANSPOSITIONS
from runtime.images import INTERPOLATIONS
from runtime.kernels import library, resampling
from runtime.kernels.resampling import Box, is_quicker, resample
from tests.runtime.images import make_noise

#: Tells the levels of a channel from those of another.
LEVELS = np.float32([0, 1000, 2000])[:, np.newaxis] + np.arange(256, dtype=np.float32)
EXACT = sorted(resampling._EXACT)
NAMES = [entry.name for entry in library.implementations() if entry.supported]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    library.select(None)


def resize_by_pillow(
    image: Image.Image, box: Box, interpolation: str, orientation: int, side: int
) -> np.ndarray:
    resized = image.resize((side, side), INTERPOLATIONS[interpolation], box=box).convert("RGB")
    turn = TRANSPOSITIONS.get(orientation)
    levels = np.asarray(resized if turn is None else resized.transpose(turn))
    return (levels + np.float32([0, 1000, 2000])).astype(np.float32).transpose(2, 0, 1)


def check(
    image: Image.Image, box: Box, interpolation: str = "bilinear", orientation: int = 1,
    side: int = 16,
) -> None:  # fmt: skip
    """Every implementation that this CPU can run gives Pillow's pixels."""
    expected = resize_by_pillow(image, box, interpolation, orientation, side)
    for name in NAMES:
        library.select(name)
        found = resample(image, box, interpolation, orientation, LEVELS, side)
        assert found is not None
        assert found.dtype == np.float32
        assert found.tobytes() == expected.tobytes(), name


SIDES = st.integers(1, 12) | st.integers(1, 300)
EDGES = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])


@given(
    width=SIDES, height=SIDES, side=st.integers(1, 70), orientation=st.integers(1, 8),
    mode=st.sampled_from(["RGB", "L"]), interpolation=st.sampled_from(EXACT),
    edges=st.tuples(EDGES, EDGES, EDGES, EDGES), extreme=st.booleans(),
)  # fmt: skip
def test_pixels_are_those_of_pillow(
    width: int, height: int, side: int, orientation: int, mode: str, interpolation: str,
    edges: tuple[float, float, float, float], extreme: bool,
) -> None:  # fmt: skip
    image = make_noise(width, height, seed=width * 301 + height).convert(mode)
    if extreme:  # bicubic sums below 0 and above 255
        image = image.point(lambda level: 255 if level > 127 else 0)
    left, right = sorted(edge * width for edge in edges[:2])
    top, bottom = sorted(edge * height for edge in edges[2:])
    check(image, (left, top, right, bottom), interpolation, orientation, side)


@pytest.mark.parametrize("interpolation", EXACT)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(512, 341), (341, 512), (360, 640), (1024, 768), (3, 500)])
def test_photos_of_usual_sizes(size: tuple[int, int], mode: str, interpolation: str) -> None:
    """Pillow resizes the columns first where those shrink much more: 360 x 640."""
    image = make_noise(*size).convert(mode)
    check(image, (0, 0, *size), interpolation, side=160)
    check(image, (size[0] * 0.1, size[1] * 0.2, size[0] * 0.9, size[1] * 0.7), interpolation)


@pytest.mark.parametrize("size", [(16, 16), (16, 40), (40, 16)])
def test_a_pass_that_changes_nothing(size: tuple[int, int]) -> None:
    for interpolation in EXACT:
        check(make_noise(*size), (0, 0, *size), interpolation)


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1), (1, 1), (2, 2)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    for interpolation in EXACT:
        for mode in ("RGB", "L"):
            check(make_noise(*size).convert(mode), (0, 0, *size), interpolation)


@pytest.mark.parametrize(
    "box", [(-1, 0, 4, 4), (0, 0, 5, 4), (3, 0, 2, 4), (0, float("nan"), 4, 4)]
)
def test_a_box_outside_the_image_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match=r"bnn_resize: box, .* expected 0 <="):
        resample(make_noise(4, 4), box, "bilinear", 1, LEVELS, 8)


def test_an_orientation_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="bnn_resize: orientation: expected"):
        resample(make_noise(4, 4), (0, 0, 4, 4), "bilinear", 9, LEVELS, 8)


# ---- where it leaves the image to Pillow


def declines(image: Image.Image) -> bool:
    return resample(image, (0, 0, *image.size), "bilinear", 1, LEVELS, 8) is None


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "I;16", "P", "1", "LA"])
def test_other_modes(mode: str) -> None:
    assert declines(Image.new(mode, (9, 9)))


def test_an_image_in_several_pieces() -> None:
    size = Image.core.get_block_size()
    Image.core.set_block_size(4096)
    try:
        image = make_noise(64, 64)
    finally:
        Image.core.set_block_size(size)
    assert declines(image.copy()) is False
    with pytest.raises(ValueError, match="not contiguous"):
        image.__arrow_c_array__()
    assert declines(image)


def test_an_image_in_memory_of_somebody_else() -> None:
    levels = bytes(np.random.default_rng(0).integers(0, 256, 81, dtype=np.uint8))
    image = Image.frombuffer("L", (9, 9), levels, "raw", "L", 0, 1)
    assert image.readonly
    check(image, (0, 0, 9, 9))


def test_rows_that_pillow_aligns() -> None:
    """As PILLOW_ALIGNMENT asks for: rows then have gaps, where their length is not a multiple."""
    Image.core.set_alignment(64)
    try:
        assert declines(make_noise(9, 9))
        check(make_noise(16, 9), (0, 0, 16, 9))
    finally:
        Image.core.set_alignment(1)


def test_area_where_pillow_rounds_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers for ARM fuse operations on its coefficients."""
    monkeypatch.setattr(resampling, "_EXACT", {"bilinear", "bicubic"})
    image, box = make_noise(9, 9), (0.0, 0.0, 9.0, 9.0)
    assert resample(image, box, "area", 1, LEVELS, 8) is None
    assert resample(image, box, "bicubic", 1, LEVELS, 8) is not None


@pytest.fixture
def fresh_load() -> Iterator[None]:
    resampling._load.cache_clear()
    yield
    resampling._load.cache_clear()


def test_without_the_kernel_library(monkeypatch: pytest.MonkeyPatch, fresh_load: None) -> None:
    def fail() -> None:
        raise NativeUnavailable("none")

    monkeypatch.setattr(library, "load_library", fail)
    assert declines(make_noise(9, 9))
    assert not is_quicker()


def test_the_generic_implementation_is_not_quicker() -> None:
    for name in NAMES:
        library.select(name)
        assert is_quicker() == (name != "generic")


def test_the_memory_outlives_the_image() -> None:
    image = make_noise(50, 40)
    found = resampling._find_pixels(image)
    assert found is not None
    expected = image.tobytes("raw", "RGBX")
    del image
    others = [make_noise(50, 40, seed=seed) for seed in range(1, 20)]
    address, _keeper = found
    assert resampling.ctypes.string_at(address, len(expected)) == expected
    assert len(others) == 19
