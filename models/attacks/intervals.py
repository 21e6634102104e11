"""Shares with their 95 % interval by Wilson's score."""

from __future__ import annotations

from math import sqrt

from torch import Tensor

from models.records.attack import Share

Z = 1.959963984540054  # of the normal distribution, two-sided 95 %


def wilson(hits: float, count: int) -> tuple[float, float]:
    """The interval in percent of `hits` of `count` independent trials (Wilson 1927)."""
    if not 0 <= hits <= count or count < 1:
        raise ValueError(f"hits is {hits}; expected 0 to {count}, of at least one trial")
    share = hits / count
    centre = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    reach = Z / (1 + Z * Z / count) * sqrt(share * (1 - share) / count + Z * Z / (4 * count**2))
    low, high = 100 * (centre - reach), 100 * (centre + reach)
    return low if hits else 0.0, high if hits < count else 100.0  # free of rounding


def share_of(hits: Tensor) -> Share:
    """Of a mask, or of the share of draws in which each image is a hit: [N]."""
    total = float(hits.double().sum())
    low, high = wilson(total, len(hits))
    percent = round(100 * total / len(hits), 2)
    return Share(percent=percent, images=len(hits), low=round(low, 2), high=round(high, 2))
