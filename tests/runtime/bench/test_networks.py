"""The report on parts of a network: kernels in turns, phases, totals."""

import os
from typing import Any

import pytest
import torch

from runtime.bench.counts import count_macs
from runtime.bench.limits import LimitMeter
from runtime.bench.networks import FORCE_KERNEL, forced_kernel, format_network, measure_network
from runtime.bundle import Bundle
from runtime.kernels import library
from runtime.kernels.network import phase_names
from tests.runtime.bundles import make_bundle

# What parts of each kind may spend time on.
PHASES = {
    "stem": {"multiply"},
    "stage": {"binarize", "spread", "count", "write"},
    "transition": {"pool", "multiply"},
    "head": {"multiply"},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bench") / "bundle", image=32, graphs=False)


@pytest.fixture(autouse=True)
def _restore_threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def silent(text: str) -> None:
    assert text


def measure(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    options = {"runs": 2, "eager": False, "cpus": [], "progress": silent} | changes
    return measure_network(bundle, LimitMeter(), **options)


@pytest.mark.parametrize("eager", [False, True])
def test_parts_are_those_of_the_plan(bundle: Bundle, eager: bool) -> None:
    result = measure(bundle, eager=eager)
    plan = bundle.manifest.plan
    assert [part["name"] for part in result["parts"]] == [step.name for step in plan]
    for part, step in zip(result["parts"], plan, strict=True):
        macs = count_macs(step)
        assert part["macs"] == macs.binary + macs.floats
        assert part["kind"] == ("binary" if step.part == "stage" else "float")
        assert part["chosen_ms"] > 0
        assert part["kernels"]
        assert ("eager_ms" in part) is eager
        assert tuple(part["phases_ms"]) == phase_names()
        spent = {name for name, value in part["phases_ms"].items() if value > 0}
        assert spent <= PHASES[step.part]
    for kind in ("binary", "float"):
        total = result["totals"][kind]
        parts = [part for part in result["parts"] if part["kind"] == kind]
        assert total["macs"] == sum(part["macs"] for part in parts)
        assert total["chosen"]["median_ms"] > 0
    printed = format_network(result)
    assert (
        "layer groups of random, untrained (random weights) within its call: input 3x32x32"
        in printed
    )
    assert "all binary groups" in printed
    assert "all float groups" in printed


def test_popcount_is_measured_where_another_family_is_chosen(bundle: Bundle) -> None:
    result = measure(bundle)
    chosen = {kernel for part in result["parts"] for kernel in part["kernels"]}
    printed = format_network(result)
    assert ("sliced" in chosen) == ("popcount_ms" in result["parts"][0])
    assert ("sliced" in chosen) == ("the binary layer groups take popcount kernels" in printed)
    assert ("sliced" in chosen) == ("binary and pools" in result["totals"])


def test_one_family_is_measured_once(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORCE_KERNEL, "popcount")
    result = measure(bundle)
    assert "popcount_ms" not in result["parts"][0]
    assert os.environ[FORCE_KERNEL] == "popcount"


def test_family_is_forced_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORCE_KERNEL, raising=False)
    with forced_kernel("popcount"):
        assert os.environ[FORCE_KERNEL] == "popcount"
    assert FORCE_KERNEL not in os.environ


def test_active_implementation_stays(bundle: Bundle) -> None:
    before = library.active()
    measure(bundle)
    assert library.active() == before
