"""Inputs that networks are timed with."""

from __future__ import annotations

import numpy as np

from runtime.bundle import Bundle
from runtime.kernels.parts import Floats


def make_images(bundle: Bundle, batch: int, seed: int = 0) -> Floats:
    """Seeded noise, float32 [batch, 3, H, W]: packed code takes the same time for any values."""
    noise = np.random.default_rng(seed).standard_normal((batch, *bundle.manifest.input))
    return noise.astype(np.float32)
