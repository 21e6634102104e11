"""Draws a class activation map over the network's input, as a PNG."""

import io
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

#: What drawing takes at most, temporary arrays included; tests hold it.
BYTES_PER_PIXEL = 128
_OPACITY = 0.55
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R BT.601, as Pillow has it
# OKLab (Ottosson, 2020): to the cube roots of cone responses, and from those to linear sRGB.
_TO_CONES = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def draw_overlay(
    pixels: npt.NDArray[np.uint8], activation: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """uint8 [H, W, 3] and a map [h, w] -> uint8 [H, W, 3]: the image in grey, coloured by the map.

    From dark violet, where the map is at 0 or below, to bright yellow at its own peak.
    """
    height, width, _ = pixels.shape
    peak = float(activation.max())
    strength = activation.clip(0) / np.float32(peak) if peak > 0 else np.zeros_like(activation)
    large = Image.fromarray(strength).resize((width, height), Image.Resampling.BICUBIC)
    levels = np.rint(np.asarray(large).clip(0, 1) * 255).astype(np.uint8)
    grey = (pixels @ _LUMA)[:, :, np.newaxis]
    mixed = tabulate_colours()[levels] * np.float32(_OPACITY) + grey * np.float32(1 - _OPACITY)
    drawn: npt.NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return drawn


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The file of uint8 [H, W, 3]."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(
        stream, "PNG", compress_level=1
    )  # a fifth of the time, a tenth more
    return stream.getvalue()


@cache
def tabulate_colours() -> npt.NDArray[np.float32]:
    """256 colours 0..255, float32 [256, 3].

    Lightness rises evenly, so that the order is also visible without colours.
    """
    along = np.linspace(0, 1, 256)
    lightness = 0.27 + 0.65 * along
    hue = np.radians(305 - 200 * along)  # violet, blue, green, yellow
    chroma = 0.11 + 0.05 * along**2
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    linear = ((lab @ _TO_CONES.T) ** 3 @ _TO_RGB.T).clip(0, 1)
    curved = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    colours: npt.NDArray[np.float32] = np.rint(255 * curved).astype(np.float32)
    return colours
