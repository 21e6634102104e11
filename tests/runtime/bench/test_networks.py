"""The report on parts of a network: kernels in turns, totals, batches, threads."""

import os
from typing import Any

import pytest
import torch

from runtime import library
from runtime.bench import networks
from runtime.bench.counts import count_macs
from runtime.bench.limits import LimitMeter
from runtime.bench.machine import allowed_cpus
from runtime.bench.networks import FORCE_KERNEL, forced_kernel, format_network, measure_network
from runtime.bundle import Bundle
from runtime.errors import RuntimeFault
from tests.runtime.bundles import make_bundle


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
    options = {"batch": 1, "runs": 2, "eager": False, "cpus": [], "progress": silent} | changes
    return measure_network(bundle, LimitMeter(), **options)


@pytest.mark.parametrize("eager", [False, True])
def test_parts_are_those_of_the_plan(bundle: Bundle, eager: bool) -> None:
    result = measure(bundle, eager=eager, batch=2)
    plan = bundle.manifest.plan
    assert [part["name"] for part in result["parts"]] == [step["name"] for step in plan]
    for part, step in zip(result["parts"], plan, strict=True):
        macs = count_macs(step)
        assert part["macs"] == 2 * (macs.binary + macs.floats)
        assert part["kind"] == ("binary" if step["part"] == "stage" else "float")
        assert part["chosen_ms"] > 0
        assert part["kernels"]
        assert ("eager_ms" in part) is eager
    for kind, total in result["totals"].items():
        parts = [part for part in result["parts"] if part["kind"] == kind]
        assert total["macs"] == sum(part["macs"] for part in parts)
        assert total["chosen"]["median_ms"] > 0
    printed = format_network(result)
    assert "parts of random, untrained (random weights): input 3x32x32, batch 2" in printed
    assert "all binary parts" in printed
    assert "all float parts" in printed


def test_popcount_is_measured_where_another_family_is_chosen(bundle: Bundle) -> None:
    result = measure(bundle)
    chosen = {kernel for part in result["parts"] for kernel in part["kernels"]}
    printed = format_network(result)
    assert ("sliced" in chosen) == ("popcount_ms" in result["parts"][0])
    assert ("sliced" in chosen) == ("the binary parts take popcount kernels" in printed)


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


def test_batches_and_threads_take_turns(bundle: Bundle) -> None:
    result = measure(bundle)["throughput"]
    rows = [(row["threads"], row["batch"]) for row in result["rows"]]
    two = len(allowed_cpus()) != 1
    assert rows == [(1, 1), (1, 8), *([(2, 1), (2, 8)] if two else [])]
    assert list(result["not_measured"]) == ([] if two else ["2"])


def test_threads_without_cpus_are_not_measured(bundle: Bundle) -> None:
    cpus = allowed_cpus()[:1]
    if not cpus:
        pytest.skip("this system cannot keep a thread on a CPU")
    result = measure(bundle, cpus=cpus)
    assert [row["threads"] for row in result["throughput"]["rows"]] == [1, 1]
    assert "threads 2 not measured: expected at least 2 CPUs" in format_network(result)


def test_engine_that_fails_is_an_error(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        def predict(self, images: object) -> None:
            raise RuntimeFault("out of order")

    monkeypatch.setattr(networks, "load_engine", lambda *_: Engine())
    with pytest.raises(RuntimeFault, match="out of order"):
        measure(bundle)


def test_active_implementation_stays(bundle: Bundle) -> None:
    before = library.active()
    measure(bundle)
    assert library.active() == before
