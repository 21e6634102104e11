"""models.export.flips: flips are made one at a time, and counted as what they are."""

import numpy as np
import pytest

from models.export.flips import Flip, Flipper, find_kind, measure_flips, summarize
from models.export.parity import parity_inputs
from runtime import Bundle
from runtime.engines.self_test import make_inputs, read_stored_answers
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("flips")
    return make_bundle(folder / "bundle", graphs=False, self_test=True)


def test_practically_every_flip_of_a_used_weight_is_noticed(bundle: Bundle) -> None:
    table = summarize(measure_flips(bundle, 20))
    assert {kind.partition(",")[0] for kind in table} == {
        *("stem", "stage1", "transition1", "stage2", "head", "thresholds")
    }
    for kind, row in table.items():
        assert row["noticed"] + row["idle"] <= row["flips"]
        if "lower" not in kind and not kind.startswith("thresholds"):  # whose last bits may be idle
            assert row["noticed"] >= 0.9 * (row["flips"] - row["idle"]), (kind, row)


def test_flips_leave_the_network_as_it_was(bundle: Bundle, rng: np.random.Generator) -> None:
    stored = read_stored_answers(bundle)
    assert stored is not None
    others = parity_inputs(bundle.manifest.input, 2)
    flipper = Flipper(bundle, make_inputs(stored.images, bundle.manifest), others)
    before = {name: tensor.copy() for name, tensor in flipper._tensors.items()}
    for name in flipper.names():
        flipper.flip(name, rng)
    for name, tensor in flipper._tensors.items():
        assert tensor.tobytes() == before[name].tobytes()


@pytest.mark.parametrize(
    ("name", "dtype", "bit", "kind"),
    [
        ("stage1.layer0.weight", np.uint32, 3, "stage1, binary weights"),
        ("stage1.layer0.flip", np.uint32, 3, "stage1, directions"),
        ("stage1.layer0.threshold", np.float32, 11, "thresholds, lower 12 bits"),
        ("stage2.layer9.threshold", np.float32, 12, "thresholds, upper 20 bits"),
        ("head.weight", np.int8, 7, "head, 8-bit weights"),
        ("stem.conv0.bias", np.float32, 31, "stem, floats, upper 20 bits"),
    ],
)
def test_kinds(name: str, dtype: type, bit: int, kind: str) -> None:
    assert find_kind(name, np.zeros(1, dtype), bit) == kind


def test_rows_add_up() -> None:
    flips = [Flip("a", "x", True, False), Flip("b", "x", False, True), Flip("b", "y", False, False)]
    assert summarize(flips) == {
        "x": {"flips": 2, "noticed": 1, "idle": 1},
        "y": {"flips": 1, "noticed": 0, "idle": 0},
    }
