"""Class activation maps: which places of an image support a class, by the last feature map."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle import Bundle
from runtime.errors import InvalidInput
from runtime.kernels import library
from runtime.kernels.parts import Floats, Part
from runtime.plan import HeadStep


class ClassActivation:
    """The maps of a bundle's network (Zhou et al., 2016), by its layer groups; the head is last.

    The head takes the mean of its normalised map over all positions, then a dense layer. The same
    layer at each position gives the map of a class: its mean and the class's bias are the logit. Of
    an 8-bit head the weights are taken at what they are worth; the logit differs by the rounding of
    the means to levels. Thread-safe; one call computes at a time: all take the memory of one.
    """

    def __init__(self, bundle: Bundle, parts: Sequence[Part]) -> None:
        head = bundle.manifest.plan[-1]
        assert isinstance(head, HeadStep)  # nothing else yields one logit for each class
        tensors = bundle.tensors()

        def get(suffix: str) -> NDArray[Any]:
            return np.array(tensors[f"{head.name}.{suffix}"])  # a copy: the file is let go

        self._scale = get("scale")[:, np.newaxis, np.newaxis]
        self._shift = get("shift")[:, np.newaxis, np.newaxis]
        weight = get("weight")
        if head.is_int8:
            worth = get("sum_scale") * get("inverse_step")
            weight = weight * worth[:, np.newaxis]
        self._weight: Floats = weight[: bundle.manifest.classes].astype(np.float32, copy=False)
        self._parts = list(parts[:-1])
        infos = [library.describe_part(part) for part in self._parts]
        maps = [4 * (math.prod(info.input) + math.prod(info.output)) for info in infos]
        last = 3 * 4 * math.prod(head.input)  # before and after the head's scale and shift
        calls = (size + info.workspace_bytes for size, info in zip(maps, infos, strict=True))
        self.bytes = max([last, *calls])  #: What one image takes at most.
        self._lock = threading.Lock()

    def compute(self, images: Floats, class_index: int) -> Floats:
        """float32 [N, 3, H, W] -> the class's maps, float32 [N, h, w], in units of its logit.

        h and w are those of the last feature map. Raises InvalidInput for an unknown class.
        """
        classes = len(self._weight)
        if not 0 <= class_index < classes:
            raise InvalidInput(f"expected a class from 0 to {classes - 1}, found {class_index}")
        with self._lock:
            x = images
            for part in self._parts:
                x = library.run_part(part, x)
            x = np.maximum(x * self._scale + self._shift, np.float32(0))
            maps: Floats = np.einsum("nchw,c->nhw", x, self._weight[class_index])
        return maps
