"""From an image file of unknown origin to a network's input, by its bundle's preprocessing.

Training evaluation, export and service all use it. It has three steps, so that the service can
account for memory and time: plan, decode, crop.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.image_files.decoding import (
    DecodingPlan,
    ImageLimits,
    decode_image,
    decode_stored,
    plan_decoding,
)
from runtime.images import (
    Preprocessing,
    crop_reduced,
    normalise,
    prepare_reduced,
    resize_and_crop,
)


class ImageReader:
    """Reads images for one preprocessing, within limits. Thread-safe."""

    def __init__(self, spec: Preprocessing, limits: ImageLimits | None = None) -> None:
        self.spec = spec
        self._limits = limits or ImageLimits()

    def plan(self, data: bytes) -> DecodingPlan:
        """Reads the header alone. Raises InvalidImage and its kinds, as plan_decoding does."""
        reduce_to = None if self.spec.reduce is None else self.spec.least_side
        return plan_decoding(data, self._limits, self.spec.resize, reduce_to=reduce_to)

    def decode(self, data: bytes, plan: DecodingPlan) -> Image.Image:
        """Decodes the image for `crop`. Raises InvalidImage, MemoryError."""
        if self.spec.reduce is None:
            return decode_image(data, self._limits, plan=plan)
        return decode_stored(data, plan)

    def crop(self, image: Image.Image, plan: DecodingPlan) -> Image.Image:
        """The upright RGB pixels that the network sees, crop x crop."""
        if self.spec.reduce is None:
            return resize_and_crop(image, self.spec)
        size = plan.width, plan.height
        return crop_reduced(image, size, plan.scale, plan.orientation, self.spec)

    def prepare(self, image: Image.Image, plan: DecodingPlan) -> npt.NDArray[np.float32]:
        """The network's input from `decode`'s result: `crop`, normalised, float32 [3, crop, crop].

        With `reduce`, it is one call of the kernel library, if that is installed.
        """
        if self.spec.reduce is None:
            return normalise(self.crop(image, plan), self.spec)
        size = plan.width, plan.height
        return prepare_reduced(image, size, plan.scale, plan.orientation, self.spec)

    def read_pixels(self, data: bytes) -> Image.Image:
        """All steps: a file's bytes to the upright RGB pixels, crop x crop.

        Raises InvalidImage and its kinds, MemoryError.
        """
        plan = self.plan(data)
        return self.crop(self.decode(data, plan), plan)

    def read_tensor(self, data: bytes) -> npt.NDArray[np.float32]:
        """All steps and the normalisation: float32 [3, crop, crop].

        Raises InvalidImage and its kinds, MemoryError.
        """
        plan = self.plan(data)
        return self.prepare(self.decode(data, plan), plan)
