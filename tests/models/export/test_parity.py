"""models.export.parity: what is compared with what, and which engines are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.export.parity import (
    ROUNDING,
    compare_logits,
    describe_parity,
    measure_parity,
    parity_inputs,
)
from runtime.engines.reference import FloatNetwork
from tests.runtime.bundles import make_bundle


def test_parity_inputs_are_seeded() -> None:
    assert np.array_equal(parity_inputs((3, 8, 8), 2), parity_inputs((3, 8, 8), 2))
    assert not np.array_equal(parity_inputs((3, 8, 8), 2), parity_inputs((3, 8, 8), 2, seed=4))


def test_figures_are_those_of_the_worst_logit_of_each_image() -> None:
    expected = np.array([[0, 1], [0, 2], [0, 3]], np.float32)
    logits = expected + np.array([[0, 0], [0, ROUNDING / 2], [4, 0]], np.float32)
    figures = compare_logits(logits, expected, 2)
    assert figures == {
        "max_abs_logit_difference": 4.0,
        "median_abs_logit_difference": pytest.approx(ROUNDING / 2, rel=1e-3),
        "beyond_rounding": pytest.approx(1 / 3),
        "top1_agreement": pytest.approx(2 / 3),
        "inputs": 3,
    }


def test_top1_is_among_the_labels_alone() -> None:
    """A last logit is for none of them: its difference counts, its rank does not."""
    expected = np.array([[0, 1, 5], [2, 1, 0]], np.float32)
    logits = np.array([[0, 1, -5], [2, 1, 9]], np.float32)
    figures = compare_logits(logits, expected, 2)
    assert (figures["top1_agreement"], figures["max_abs_logit_difference"]) == (1, 10)


def test_engines_that_a_bundle_is_not_for_say_why(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False)
    twin: nn.Module = FloatNetwork(bundle.manifest.plan, bundle.tensors())
    figures = measure_parity(twin, bundle, parity_inputs(bundle.manifest.input, 3))
    assert figures["native"]["inputs"] == 3
    assert figures["native"]["max_abs_logit_difference"] < 1
    assert figures["onnx"]["not_measured"].startswith("the manifest lists no model.onnx")
    assert torch.is_grad_enabled()


def test_figures_are_told_to_people() -> None:
    logits = np.array([[1.0, 2.0], [3.0, 1.0]], np.float32)
    assert describe_parity(compare_logits(logits + np.float32(0.5), logits, 2)) == (
        "logits differ by 0.5 (median) to 0.5 (max); "
        "the best label is the same for 100.0% of 2 images"
    )
    assert describe_parity({"not_measured": "no torch"}) == "not measured: no torch"
