"""A drawn sunflower as a JPEG, for a first request without an own photo."""

import io
import math

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 640, 480
_DRAWN = 2  # times as large as it is answered: edges are smooth then
_CENTRE = (640, 440)  # of the flower, in drawn pixels
_SEED_ANGLE = math.pi * (3 - math.sqrt(5))  # between a sunflower's seeds, one after the other


def draw_sample_image() -> bytes:
    """A JPEG of 640x480 pixels, always the same."""
    image = _draw_meadow()
    draw = ImageDraw.Draw(image)
    x, y = _CENTRE
    draw.line((x, y, x - 40, HEIGHT * _DRAWN), fill=(50, 120, 40), width=26)
    for turn, length, half, colour in (
        (0.0, 340, 44, (240, 180, 20)),
        (0.5, 300, 40, (250, 205, 40)),
    ):
        for petal in range(21):
            angle = 2 * math.pi * (petal + turn) / 21
            shade = (petal * 7 % 5 - 2) * 6
            fill = tuple(min(255, part + shade) for part in colour)
            draw.polygon(_outline_petal(angle, length, half), fill=fill, outline=(190, 130, 10))
    for seed in range(900):
        distance = 130 * math.sqrt(seed / 900)
        left = x + distance * math.cos(seed * _SEED_ANGLE)
        top = y + distance * math.sin(seed * _SEED_ANGLE)
        shade = (seed * 13 % 9 - 4) * 5
        draw.ellipse((left - 7, top - 7, left + 7, top + 7), fill=(80 + shade, 50 + shade // 2, 25))
    smooth = image.filter(ImageFilter.GaussianBlur(1))
    stream = io.BytesIO()
    smooth.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _draw_meadow() -> Image.Image:
    """Green and out of focus."""
    size = (WIDTH * _DRAWN, HEIGHT * _DRAWN)
    image = Image.new("RGB", size, (50, 100, 40))
    draw = ImageDraw.Draw(image)
    for blade in range(400):
        x, y = blade * 787 % size[0], blade * 439 % size[1]
        shade = blade * 31 % 50 - 25
        colour = (50 + shade, 100 + shade, 40 + shade)
        draw.ellipse((x - 60, y - 90, x + 60, y + 90), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(16))


def _outline_petal(angle: float, length: float, half: float) -> list[tuple[float, float]]:
    """The corners of a petal that begins in the flower's centre."""
    along = [step / 29 for step in range(30)]
    upper = [(length * part, half * math.sin(math.pi * part**0.8)) for part in along]
    around = upper + [(x, -y) for x, y in reversed(upper)]
    sine, cosine = math.sin(angle), math.cos(angle)
    return [
        (_CENTRE[0] + x * cosine - y * sine, _CENTRE[1] + x * sine + y * cosine) for x, y in around
    ]
