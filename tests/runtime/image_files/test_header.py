"""runtime.image_files.header: the bound of memory against what decoding takes, kind by kind."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from runtime import InvalidImage, plan_decoding
from runtime.image_files.header import FIXED_BYTES, MAX_ELEMENTS, Steps, measure_image
from tests.runtime.images import encode, insert_segment

_MEASURE = """
import io, resource, sys
from pathlib import Path
from PIL import Image
from runtime import ImageLimits, InvalidImage, decode_image, plan_decoding

def read(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

for kind, mode in (("JPEG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("AVIF", "RGB")):
    stream = io.BytesIO()
    Image.new(mode, (40, 30)).save(stream, kind)
    decode_image(stream.getvalue())  # what the libraries set aside once
data = Path(sys.argv[1]).read_bytes()
plan = plan_decoding(data, ImageLimits(max_pixels=int(sys.argv[2]), max_scans=1000))
if sys.argv[3] == "peak":
    before = read("VmRSS")
    decode_image(data, plan=plan)
    print(read("VmHWM") - before, plan.decoding_bytes, plan.scale)
else:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    room = pages * resource.getpagesize() + int(float(sys.argv[3]) * plan.decoding_bytes)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    try:
        decode_image(data, plan=plan)
    except (MemoryError, InvalidImage) as fault:
        print(type(fault).__name__)
"""
WIDTH, HEIGHT = 2400, 1800
_TURNED = Image.Exif()
_TURNED[0x0112] = 6
_FAST = {"WEBP": {"method": 0}, "PNG": {"compress_level": 1}, "AVIF": {"speed": 10}, "JPEG": {}}

# Mode, format, options, size, the most pixels decoded.
_FULL = (WIDTH, HEIGHT), 25_000_000
_KINDS = [
    ("RGB", "JPEG", {}, *_FULL),
    ("RGB", "JPEG", {"exif": _TURNED}, *_FULL),
    ("RGB", "JPEG", {"subsampling": 0}, *_FULL),
    ("RGB", "JPEG", {"progressive": True}, *_FULL),
    ("RGB", "JPEG", {"progressive": True, "subsampling": 0, "exif": _TURNED}, *_FULL),
    ("L", "JPEG", {}, *_FULL),
    ("L", "JPEG", {"progressive": True}, *_FULL),
    ("CMYK", "JPEG", {}, *_FULL),
    ("CMYK", "JPEG", {"progressive": True, "subsampling": 0}, *_FULL),
    ("RGB", "JPEG", {}, (65_000, 60), 25_000_000),
    ("RGB", "JPEG", {"progressive": True}, (60, 65_000), 25_000_000),
    ("RGB", "JPEG", {"exif": _TURNED}, (4800, 3600), 5_000_000),
    ("RGB", "JPEG", {"progressive": True}, (4800, 3600), 5_000_000),
    ("CMYK", "JPEG", {}, (4800, 3600), 500_000),
    ("RGB", "PNG", {}, *_FULL),
    ("RGB", "PNG", {"dpi": (72, 72), "exif": _TURNED}, *_FULL),
    ("RGBA", "PNG", {}, *_FULL),
    ("RGBA", "PNG", {"exif": _TURNED}, *_FULL),
    ("RGB", "PNG", {"transparency": (1, 2, 3)}, *_FULL),
    ("P", "PNG", {}, *_FULL),
    ("P", "PNG", {"transparency": 3}, *_FULL),
    ("1", "PNG", {}, *_FULL),
    ("L", "PNG", {}, *_FULL),
    ("LA", "PNG", {}, *_FULL),
    ("I;16", "PNG", {}, *_FULL),
    ("RGBA", "PNG", {}, (2_000_000, 1), 25_000_000),
    ("RGB", "PNG", {}, (1, 2_000_000), 25_000_000),
    ("RGB", "WEBP", {}, *_FULL),
    ("RGB", "WEBP", {"lossless": True, "quality": 0}, *_FULL),
    ("RGBA", "WEBP", {"exif": _TURNED}, *_FULL),
    ("RGBA", "WEBP", {"lossless": True, "quality": 0}, *_FULL),
    (
        "RGB",
        "WEBP",
        {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT))]},
        *_FULL,
    ),
    ("RGB", "AVIF", {}, *_FULL),
    ("RGB", "AVIF", {"subsampling": "4:4:4", "exif": _TURNED}, *_FULL),
    ("RGBA", "AVIF", {}, *_FULL),
    ("L", "AVIF", {"subsampling": "4:0:0"}, *_FULL),
]
_NAMES = [f"{kind} {mode} {'+'.join(options)} {size[0]}" for mode, kind, options, size, _ in _KINDS]
kinds = pytest.mark.parametrize(("mode", "kind", "options", "size", "pixels"), _KINDS, ids=_NAMES)
some_kinds = pytest.mark.parametrize(
    ("mode", "kind", "options", "size", "pixels"), _KINDS[::4], ids=_NAMES[::4]
)
# The bound may be above the measured peak by so much where images are large.
_TOO_LARGE = 1.5


def make_large(mode: str, size: tuple[int, int]) -> Image.Image:
    """A gradient with some noise, in this mode."""
    noise = np.random.default_rng(0).integers(0, 24, (size[1], size[0], 1), dtype=np.uint8)
    base = np.asarray(Image.linear_gradient("L").resize(size))[..., np.newaxis] // 2 + noise
    image = Image.fromarray(np.concatenate([base, base // 2, 255 - base], axis=-1))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(Image.linear_gradient("L").resize(size))
    return image if image.mode == mode else image.convert(mode)


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Decodes an image of a kind in a process of its own, measured or under a limit."""
    folder = tmp_path_factory.mktemp("images")

    def run(
        mode: str, kind: str, options: dict, size: tuple[int, int], pixels: int, what: str
    ) -> list[str]:
        if not sys.platform.startswith("linux"):
            pytest.skip("only Linux tells and limits the memory of a process as this test needs it")
        path = folder / f"{_KINDS.index((mode, kind, options, size, pixels))}"
        if not path.exists():
            path.write_bytes(encode(make_large(mode, size), kind, **{**_FAST[kind], **options}))
        command = [sys.executable, "-c", _MEASURE, str(path), str(pixels), what]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return answer.stdout.split()

    return run


@pytest.mark.slow
@kinds
def test_decoding_stays_within_the_bound_and_the_bound_near(
    mode: str,
    kind: str,
    options: dict,
    size: tuple[int, int],
    pixels: int,
    measure: Callable[..., list[str]],
) -> None:
    peak, bound, scale = map(int, measure(mode, kind, options, size, pixels, "peak"))
    assert (scale > 1) == (size[0] * size[1] > pixels)
    assert peak <= bound
    assert bound <= _TOO_LARGE * peak + 2 * FIXED_BYTES


@pytest.mark.slow
@some_kinds
def test_a_lack_of_memory_is_not_called_damage(
    mode: str,
    kind: str,
    options: dict,
    size: tuple[int, int],
    pixels: int,
    measure: Callable[..., list[str]],
) -> None:
    assert measure(mode, kind, options, size, pixels, "0.4") == ["MemoryError"]


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (500, 400)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_bound_of_small_images_is_small(kind: str, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "red")
    bound = plan_decoding(encode(image, kind)).decoding_bytes
    assert FIXED_BYTES < bound < 3 * 2**20 + 16 * size[0] * size[1]


def test_copies_of_the_file_are_counted() -> None:
    image = Image.new("RGB", (40, 30))
    plain = plan_decoding(encode(image, "PNG"))
    copied = plan_decoding(encode(image, "PNG", dpi=(72, 72)))
    assert 0 < copied.decoding_bytes - plain.decoding_bytes < 1000
    jpeg = encode(image, "JPEG")
    tables = insert_segment(jpeg, 0xDB, (b"\0" + bytes(range(1, 65))) * 900)
    grown = plan_decoding(tables).decoding_bytes - plan_decoding(jpeg).decoding_bytes
    assert grown >= len(tables) - len(jpeg)


def test_rows_of_an_image_are_counted() -> None:
    assert measure_image(100, 1) == 408
    assert measure_image(1, 100) == 1200
    assert measure_image(5, 1, 1) == 16


def test_steps_end() -> None:
    steps = Steps("AVIF")
    steps.take(MAX_ELEMENTS)
    with pytest.raises(InvalidImage, match="AVIF"):
        steps.take()


def test_the_memory_of_the_test_images_is_real() -> None:
    """The gradients are no solid colour, for which codecs might need less."""
    image = make_large("RGB", (240, 180))
    assert len(np.unique(np.asarray(image))) > 200
    assert len(encode(image, "PNG")) > 240 * 180
