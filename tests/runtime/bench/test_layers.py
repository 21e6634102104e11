"""The report on binary layers: which ones, in which families; times are never judged."""

import pytest

from runtime.bench.counts import BinaryShape
from runtime.bench.layers import (
    chosen_families,
    format_layers,
    measure_layers,
    measure_shape,
    random_weight,
)
from runtime.bench.limits import LimitMeter
from runtime.bundle import Bundle
from runtime.kernels import library
from tests.runtime.bundles import make_bundle

SLICED = library.active() != "generic"


def silent(text: str) -> None:
    assert text


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bench") / "bundle"
    return make_bundle(folder, graphs=False, pairs=(2, 1), image=32)


def test_each_distinct_layer_is_measured(bundle: Bundle) -> None:
    entries = measure_layers(bundle, LimitMeter(), 2, silent)
    shapes = [(entry["channels"], entry["height"], entry["times"]) for entry in entries]
    assert shapes == [(64, 16, 1), (128, 16, 2), (192, 16, 1), (96, 8, 1), (160, 8, 1)]
    for entry in entries:
        assert entry["chosen"] in entry["families"]
        assert ("sliced" in entry["families"]) == ("ratio" in entry) == SLICED
        for row in entry["families"].values():
            for what in ("counting", "complete"):
                assert row[what]["median_ms"] > 0
                assert row[what]["share"] > 0
    printed = format_layers("random", entries, [1])
    assert "binary layers of random: convolution alone, batch 1, threads 1, CPU 1" in printed
    assert "16x16x128" in printed
    assert printed.count("*") == len(entries) + 1  # and once in the legend


def test_family_that_an_implementation_lacks_is_a_gap() -> None:
    library.select("generic")
    try:
        families = measure_shape(BinaryShape(32, 2, 2), LimitMeter(), 1)
    finally:
        library.select(None)
    assert list(families) == ["popcount"]
    entry = {"channels": 32, "height": 2, "width": 2, "times": 1, "chosen": "popcount"}
    assert "  2x2x32" in format_layers("tiny", [entry | {"families": families}], [])


def test_families_are_those_that_run(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_FORCE_KERNEL", "popcount")
    assert set(chosen_families(bundle).values()) == {"popcount"}


def test_weights_are_repeatable() -> None:
    weight = random_weight(BinaryShape(96, 1, 1))
    assert weight.shape == (64, 3, 3, 3)
    assert (weight == random_weight(BinaryShape(96, 7, 7))).all()
