"""Photos for the tests of the page, and what it shows."""

import io

import numpy as np
from PIL import Image

from tests.service.browser import Tab

KNOWN = "!document.querySelector('#about').hidden"
CHOICE = "document.querySelector('#choice').checkVisibility()"
STORED = "Object.keys(localStorage).length + document.cookie.length"
ENDED = "[...document.querySelectorAll('article')].every((a) => a.ariaBusy === 'false')"


def make_large(orientation: int) -> bytes:
    """A bluish photo of 12 megapixels and some MB, which EXIF turns."""
    random = np.random.default_rng(0)
    tile = np.array([90, 60, 200]) + random.integers(-40, 41, (100, 100, 3))
    pixels = np.tile(tile.astype(np.uint8), (30, 40, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92, exif=exif)
    return stream.getvalue()


def read_labels(tab: Tab) -> dict[str, str]:
    """The best label by the file's name."""
    tab.wait_for(f"document.querySelector('article') && {ENDED}")
    pairs: list[list[str]] = tab.evaluate(
        "[...document.querySelectorAll('article')].map((a) => [a.querySelector('h2').innerText, "
        "a.querySelector('.row span')?.innerText ?? ''])"
    )
    return dict(pairs)  # type: ignore[arg-type]
