"""Networks with random weights: found by what they are, else told what is missing."""

from pathlib import Path

import pytest

from runtime.bench.exports import Exports
from runtime.errors import MissingFile, RuntimeFault
from tests.runtime.bundles import make_bundle


def test_networks_lie_by_arithmetic_and_name(tmp_path: Path) -> None:
    make_bundle(tmp_path / "float32" / "random", graphs=False)
    make_bundle(tmp_path / "int8" / "random", graphs=False, int8=True)
    exports = Exports(tmp_path)
    assert exports("random", 16).path == tmp_path / "float32" / "random"
    assert exports("random", 16, float_layers="int8").path == tmp_path / "int8" / "random"


def test_another_network_is_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path / "float32" / "random", graphs=False)
    make_bundle(tmp_path / "float32" / "other", graphs=False)
    with pytest.raises(RuntimeFault, match="expected random for 224 pixels, found random for 16"):
        Exports(tmp_path)("random")
    with pytest.raises(RuntimeFault, match="expected other for 16 pixels, found random for 16"):
        Exports(tmp_path)("other", 16)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="float32/meliusnet13"):
        Exports(tmp_path)("meliusnet13")
    with pytest.raises(RuntimeFault, match="expected a folder with meliusnet13 as --exports"):
        Exports(None)("meliusnet13")
