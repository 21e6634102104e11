"""Parity: how far the logits of each engine are from the training graph's, on seeded images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from runtime import ENGINES, Bundle, RuntimeFault, load_engine

PARITY_INPUTS = 64
ROUNDING = 1e-3  # of logits, by sums in another order
SEED = 123


def parity_inputs(
    shape: Sequence[int], count: int = PARITY_INPUTS, seed: int = SEED
) -> NDArray[np.float32]:
    """Seeded images with coarse and fine structure, normalised: float32 [count, 3, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    coarse = nn.functional.interpolate(coarse, tuple(shape[1:]), mode="bilinear")
    fine = torch.randn(count, *shape, generator=generator)
    return (coarse + 0.2 * fine).numpy()


def measure_parity(
    network: nn.Module, bundle: Bundle, images: NDArray[np.float32]
) -> dict[str, Any]:
    """Per engine: how far its logits are from the training graph's in eval mode.

    An engine that cannot run here or that the bundle is not for is recorded with the reason.
    """
    network.eval()
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    figures: dict[str, Any] = {}
    for name in ENGINES:
        try:
            logits = load_engine(bundle, name).predict(images)
        except RuntimeFault as error:
            figures[name] = {"not_measured": str(error).replace(f"{bundle.path}: ", "")}
            continue
        figures[name] = compare_logits(logits, expected, bundle.manifest.classes)
    return figures


def compare_logits(
    logits: NDArray[np.float32], expected: NDArray[np.float32], classes: int
) -> dict[str, float | int]:
    """Largest and median difference, the share of images beyond ROUNDING (where a float feature
    on the edge of a threshold or level became another one), and how often top-1 agrees.

    Differences are of all logits, top-1 is among the first `classes`: a last one may be of none.
    """
    difference = np.abs(logits - expected).max(axis=1)
    best, best_expected = (x[:, :classes].argmax(1) for x in (logits, expected))
    return {
        "max_abs_logit_difference": float(difference.max()),
        "median_abs_logit_difference": float(np.median(difference)),
        "beyond_rounding": float((difference > ROUNDING).mean()),
        "top1_agreement": float((best == best_expected).mean()),
        "inputs": len(logits),
    }


def describe_parity(figures: Mapping[str, Any]) -> str:
    """For people: how far an engine's logits are from the training graph's."""
    if reason := figures.get("not_measured"):
        return f"not measured: {reason}"
    return (
        f"logits differ by {figures['median_abs_logit_difference']:.1g} (median) to "
        f"{figures['max_abs_logit_difference']:.1g} (max); the best label is the same for "
        f"{figures['top1_agreement']:.1%} of {figures['inputs']} images"
    )
