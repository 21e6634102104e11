"""The header of an image of any format, read before decoding, and the memory that it implies.

Each format has a module with its own kind of header, which is read in a bounded number of steps,
tells the memory of decoding, and decodes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from PIL import Image

from runtime.image_files.faults import damaged
from runtime.image_files.rgb import measure_pieces

#: Header elements (segments, chunks, boxes) that are visited at most: a few milliseconds of a loop
#: in Python. Real files have a few dozen; a PNG with a chunk for every row of pixels, thousands.
MAX_ELEMENTS = 20_000
#: Bytes a pixel of an RGB image in memory: Pillow keeps a fourth channel.
RGB_BYTES = 4
#: Bytes a row of an image in memory, beside its pixels: Pillow keeps a pointer to each.
ROW_BYTES = 8
#: What any decoding takes that does not grow with the image.
FIXED_BYTES = 2**20


class Steps:
    """Counts the steps of a walk that takes several loops, MAX_ELEMENTS altogether."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._left = MAX_ELEMENTS

    def take(self, count: int = 1) -> None:
        """Raises InvalidImage when there are no more."""
        self._left -= count
        if self._left < 0:
            raise damaged(self._kind)


@dataclass(frozen=True)
class ImageHeader(ABC):
    """Size as stored, orientation 1 to 8, and what the decoder will need."""

    width: int
    height: int
    orientation: int

    #: Pillow's name of the format.
    format: ClassVar[str]

    @property
    def pixels(self) -> int:
        """Pixels of the largest image that the decoder makes at full size."""
        return self.width * self.height

    @property
    def visits(self) -> int:
        """Pixels that the decoder visits, counted as often as it visits them."""
        return self.width * self.height

    @property
    @abstractmethod
    def stored_bytes(self) -> int:
        """Bytes per pixel of the decoded image."""

    @property
    @abstractmethod
    def converts(self) -> bool:
        """Whether the RGB image is a new one beside the decoded one."""

    @property
    def in_pieces(self) -> bool:
        """Whether the RGB image is made piece by piece, because pixels are transparent."""
        return False

    @property
    def kept_bytes(self) -> int:
        """Bytes of the file that are copied and kept with the image."""
        return 0

    @abstractmethod
    def measure_decoder(self, scale: int) -> int:
        """Max bytes that the decoder holds at a time, including the image that it leaves.
        Without `kept_bytes`.
        """

    @abstractmethod
    def decode(self, data: bytes, scale: int) -> Image.Image:
        """The image as stored, in a mode of the format, reduced to 1 / scale; frees the rest.

        Raises whatever Pillow raises for a damaged file.
        """

    def reduce(self, scale: int) -> tuple[int, int]:
        """Width and height of the image as decoded at 1 / scale."""
        return -(-self.width // scale), -(-self.height // scale)

    def measure_decoding(self, scale: int = 1) -> int:
        """An upper bound of the bytes that decoding, conversion to RGB and turning take.

        At a time, in addition to the file.
        """
        width, height = self.reduce(scale)
        stored = measure_image(width, height, self.stored_bytes)
        peak = self.measure_decoder(scale)
        if self.converts:
            pieces = measure_pieces(width * height) if self.in_pieces else 0
            peak = max(peak, stored + measure_image(width, height) + pieces)
        if self.orientation != 1:
            peak = max(peak, measure_image(width, height) + measure_image(height, width))
        return self.kept_bytes + peak + FIXED_BYTES

    def measure_stored(self, scale: int = 1) -> int:
        """The same for an image that is not turned, and is reduced after decoding."""
        decoding = replace(self, orientation=1).measure_decoding()
        if scale == 1:
            return decoding
        full, reduced = measure_image(self.width, self.height), measure_image(*self.reduce(scale))
        return max(decoding, self.kept_bytes + full + reduced + FIXED_BYTES)


def measure_image(width: int, height: int, pixel_bytes: int = RGB_BYTES) -> int:
    """Bytes of an image in memory."""
    return height * (-(-width * pixel_bytes // 4) * 4 + ROW_BYTES)
